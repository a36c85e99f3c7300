"""What other settings would have done, held against the core that is really set so."""

import random
from collections.abc import Sequence
from datetime import date

import pytest

from services.commands.backtesting import settings
from services.commands.backtesting.sweep import Lives, Setting, live, measure, own_setting
from services.evaluator.core.calendar import DAY_US, EPOCH_DAY
from services.evaluator.core.rules import AbsenceRule, Product, compile_product
from services.evaluator.replay import DatedUse, Uses, replay_customer
from shared.config import ProductSection
from shared.events import Profile
from shared.triggers import RESUMED

FIRST = date(2025, 1, 1).toordinal()
LAST = FIRST + 300
NOON_MINUTES = 12 * 60


def rule_of(product: Product) -> AbsenceRule:
    (rule,) = product.rules
    assert isinstance(rule, AbsenceRule)
    return rule


def product(**rule: object) -> Product:
    section = {"time_zone": "UTC", "rules": {"stop": {"kind": "absence", **rule}}}
    return compile_product("p", ProductSection.model_validate(section))


def drawn(seed: int) -> dict[str, Uses]:
    """A dozen customers, each with its own rhythm, closed weekday and breaks; uses at all hours."""
    chance = random.Random(seed)
    found = {}
    for number in range(12):
        rate, closed, ends = chance.uniform(0.3, 0.99), chance.randrange(9), chance.randrange(150, 301)
        days = [
            day
            for day in range(FIRST + number, FIRST + ends)
            if day % 7 != closed and chance.random() < rate and not 90 < day - FIRST < 90 + number
        ]
        dated = [
            DatedUse((day - EPOCH_DAY) * DAY_US + chance.randrange(DAY_US), event=f"e{day}") for day in days
        ]
        found[f"c-{number}"] = Uses(dated=dated)
    return found


def lived(uses: dict[str, Uses], cutoff: int | None, first_on: int = FIRST) -> Lives:
    of = product()
    return live(
        uses,
        {},
        of,
        rule_of(of),
        cutoff=cutoff,
        first_on=first_on,
        last_on=LAST,
        draw=random.Random(1).sample,
    )


def told(uses: dict[str, Uses], **rule: object) -> tuple[int, int]:
    """Stops and resumptions of the core under a rule that is really so."""
    types = [
        trigger.type
        for id, of_customer in uses.items()
        for trigger in replay_customer(
            id, Profile(), of_customer, product=product(**rule), last_on=LAST
        ).triggers
    ]
    return types.count("usage.stopped"), types.count(RESUMED)


@pytest.mark.parametrize("cutoff", [None, "12:00"])
@pytest.mark.parametrize("min_streak", [1, 4])
@pytest.mark.parametrize("min_surprise", [None, 0.7, 0.95])
def test_a_sweep_counts_the_stops_that_the_core_would_tell(
    cutoff: str | None, min_streak: int, min_surprise: float | None
) -> None:
    uses = drawn(min_streak)
    lives = lived(uses, NOON_MINUTES if cutoff else None)
    setting = Setting(
        cutoff=NOON_MINUTES if cutoff else None, min_streak=min_streak, min_surprise=min_surprise
    )
    stops, resumed = told(uses, cutoff=cutoff, min_streak=min_streak, min_surprise=min_surprise)
    swept = measure(lives, setting)
    assert stops > 0
    assert round(swept.stops * lives.years) == stops
    assert round(swept.false_stops * lives.years) == resumed


def test_surprise_0_is_the_calendar_read_literally() -> None:
    uses = drawn(7)
    lives = lived(uses, None)
    swept = measure(lives, Setting(cutoff=None, min_streak=1, min_surprise=0.0))
    assert round(swept.stops * lives.years) == told(uses, expect="calendar")[0]


def test_silences_from_before_the_first_day_are_not_told() -> None:
    uses = drawn(7)
    anything = Setting(cutoff=None, min_streak=1, min_surprise=0.0)
    whole, later = lived(uses, None), lived(uses, None, FIRST + 200)
    assert later.years < whole.years
    assert all(silence.days[0] >= FIRST + 200 for silence in later.silences)
    assert 0 < len(later.silences) < len(whole.silences)
    assert measure(later, anything).stops > 0


def test_a_faithful_customer_cut_off_is_called_on_the_first_day_and_a_higher_bar_calls_later() -> None:
    uses = {"c": Uses(days={"used": range(FIRST, FIRST + 200)})}
    lives = lived(uses, None)
    literal = measure(lives, Setting(cutoff=None, min_streak=1, min_surprise=0.0))
    assert (literal.first_day, literal.second_day) == (1.0, 1.0)
    never = measure(lives, Setting(cutoff=None, min_streak=400, min_surprise=0.0))
    assert (never.first_day, never.second_day) == (0.0, 0.0)
    shares = [
        measure(lives, Setting(cutoff=None, min_streak=1, min_surprise=bar)).first_day
        for bar in (0.5, 0.9, 0.99, 0.9999)
    ]
    assert shares == sorted(shares, reverse=True)


def test_the_days_cut_off_are_the_same_for_the_same_lot() -> None:
    assert lived(drawn(3), None).cuts == lived(drawn(3), None).cuts


def test_a_customer_of_one_day_is_no_error() -> None:
    lives = lived({"c": Uses(days={"used": [FIRST]})}, None)
    assert measure(lives, Setting(cutoff=None, min_streak=1, min_surprise=None)).first_day == 0.0


def test_settings_around_the_present_one_change_one_thing_and_none_twice() -> None:
    own = own_setting(rule_of(product(cutoff="14:00", min_streak=3, min_surprise=0.9)))
    around = settings.around(own, has_times=True)
    assert around[0] == own
    assert len(set(map(repr, around))) == len(around)
    for setting in around[1:]:
        assert _differences(setting, own) == 1, settings.words(setting)
    assert settings.change(own, own) == "as it is: cutoff 14:00, min_streak 3, min_surprise 0.9"
    assert "cutoff end of day" in [settings.change(one, own) for one in around]


def test_where_days_alone_are_known_no_other_cutoff_is_tried() -> None:
    own = own_setting(rule_of(product(cutoff="14:00")))
    assert {one.cutoff for one in settings.grid(own, has_times=False)} == {14 * 60}
    assert len({one.cutoff for one in settings.grid(own, has_times=True)}) == 4


def _differences(one: Setting, other: Setting) -> int:
    def parts(setting: Setting) -> Sequence[object]:
        return setting.cutoff, setting.min_streak, setting.min_surprise

    return sum(a != b for a, b in zip(parts(one), parts(other), strict=True))
