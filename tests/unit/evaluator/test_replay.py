"""A replay tells what the live fold would have told with a tick at every deadline."""

import random
from datetime import date

import pytest

from services.evaluator import engine
from services.evaluator.core import profiles
from services.evaluator.core.calendar import day_of
from services.evaluator.replay import DatedUse, Uses, judge_customer, replay_customer
from shared.events import Event, Profile
from shared.triggers import Trigger
from tests.unit.evaluator.told import LITERAL, day, product

FIRST = day("2025-03-01")
RULES = {
    "onboarding": {"kind": "streak", "days": 9, "repeat": True},
    "habit": {"kind": "streak", "days": 14, "counting": "calendar_days"},
    "stopped": {"kind": "absence", "cutoff": "14:00", "min_streak": 2},
    "silent": {**LITERAL, "again_after_days": [3]},
    "scouts": {"kind": "count", "at_least": 40, "within_days": 25},
    "paid": {
        "kind": "count",
        "at_least": 9,
        "within_days": 12,
        "when": {"event": "used", "where": {"paid": True}},
    },
    "days": {"kind": "count", "counting": "active_days", "at_least": 11, "within_days": 14},
    "fading": {"kind": "decline", "recent_days": 5, "baseline_days": 20, "drop": 0.4},
}


def live(uses: list[DatedUse], compiled: engine.Product, last_on: int) -> list[Trigger]:
    """One record at a time, with a tick just after each deadline; decided then, as a replay decides."""
    state = profiles.fresh(Profile(), compiled, 0)
    told: list[Trigger] = []
    for use in uses:
        assert use.occurred_us is not None
        while state.due_us is not None and state.due_us <= use.occurred_us:
            outcome = engine.settle(state, customer_id="c", product=compiled, watermark_us=state.due_us + 1)
            assert outcome.state is not None
            state, told = outcome.state, [*told, *outcome.triggers]
        event = Event(
            product="reserve",
            customer_id="c",
            event_id=use.event_id,
            occurred_us=use.occurred_us,
            received_us=0,
            properties=dict(use.properties),
        )
        outcome = engine.fold(
            state,
            event,
            product=compiled,
            appended_us=use.occurred_us,
            watermark_us=use.occurred_us + 1,
        )
        assert outcome.state is not None
        state, told = outcome.state, [*told, *outcome.triggers]
    return [trigger for trigger in told if trigger.data.day.toordinal() <= last_on]


def drawn(dice: random.Random) -> list[DatedUse]:
    """Four months of uses at all hours, with a closed weekday; some events come twice."""
    closed = dice.randrange(7)
    uses = []
    for ordinal in range(FIRST, FIRST + 120):
        if ordinal % 7 != closed and dice.random() < 0.9:
            for _ in range(dice.choice((1, 1, 3))):
                at_us = (ordinal - day("1970-01-01")) * 86_400_000_000 + dice.randrange(4, 22) * 3_600_000_000
                event_id = f"{ordinal}/{dice.randrange(3)}"
                uses.append(DatedUse(at_us, event_id=event_id, properties={"paid": dice.random() < 0.4}))
    return sorted(uses, key=lambda use: use.occurred_us or 0)


@pytest.mark.parametrize("seed", range(40))
def test_a_replay_is_the_live_fold_at_every_deadline(seed: int) -> None:
    dice = random.Random(seed)
    compiled = product(zone="Europe/Berlin", rules=RULES, calendar={"learn_closed_weekdays": seed % 2 == 0})
    uses = drawn(dice)
    last_on = day_of("Europe/Berlin", 0, uses[-1].occurred_us or 0)
    replayed = replay_customer("c", Profile(), Uses(dated=uses), product=compiled, last_on=last_on)
    # What the replay tells after the last use has no counterpart in the log that ends with it.
    last_us = uses[-1].occurred_us or 0
    by_then = [t for t in replayed.triggers if _us(t.data.decided_at) <= last_us + 1]
    expected = live(uses, compiled, last_on)
    assert [_without_decision(t) for t in by_then] == [_without_decision(t) for t in expected]
    assert expected


JUDGED = {
    **RULES,
    "literal": {**LITERAL, "emit": "literal.stopped"},
    "steady": {**LITERAL, "cutoff": "14:00", "min_streak": 4},
}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_judged_without_a_word_is_what_a_replay_ends_in(seed: int) -> None:
    uses = Uses(dated=drawn(random.Random(seed)))
    learns = {"learn_closed_weekdays": seed % 2 == 0}
    compiled = product(zone="Europe/Berlin", rules=JUDGED, calendar=learns)
    for last_on in (FIRST + 50, FIRST + 140):
        told = replay_customer("c", Profile(), uses, product=compiled, last_on=last_on)
        assert judge_customer(Profile(), uses, product=compiled, last_on=last_on) == told.state


@pytest.mark.parametrize("seed", range(10))
def test_a_use_known_by_its_day_is_the_same_use_however_it_is_handed_in(seed: int) -> None:
    dice = random.Random(seed)
    compiled = product(zone="Europe/Berlin", rules=JUDGED)
    known = [FIRST + dice.randrange(120) for _ in range(100)]
    dated = [use for use in drawn(dice) if dice.random() < 0.5]
    by_day = Uses(dated=dated, days={"used": known[:70], "seen": known[70:]})
    one_by_one = Uses(dated=list(by_day.each()))
    found, expected = (
        replay_customer("c", Profile(), uses, product=compiled, last_on=FIRST + 110)
        for uses in (by_day, one_by_one)
    )
    assert found == expected
    assert found.triggers


def _us(rfc3339: str) -> int:
    from datetime import datetime

    from shared.clock import to_us

    return to_us(datetime.fromisoformat(rfc3339))


def _without_decision(trigger: Trigger) -> tuple[object, ...]:
    """Everything but the instant of the decision, a microsecond later in a log of ticks."""
    data = trigger.data
    return (
        trigger.id,
        trigger.type,
        trigger.timestamp,
        data.day,
        data.streak,
        data.missed_days,
        data.surprise,
        data.count,
        data.reasons,
    )


def test_the_last_day_is_judged_to_its_very_end_and_nothing_after_it() -> None:
    compiled = product(rules={"silent": LITERAL})
    uses = [DatedUse(None, FIRST), DatedUse(None, FIRST + 1)]
    told = replay_customer("c", Profile(), Uses(dated=uses), product=compiled, last_on=FIRST + 2).triggers
    assert [str(t.data.day) for t in told] == [date.fromordinal(FIRST + 2).isoformat()]
    assert (
        replay_customer("c", Profile(), Uses(dated=uses), product=compiled, last_on=FIRST + 1).triggers == ()
    )


def test_a_decision_falls_on_the_deadline_itself() -> None:
    compiled = product(rules={"silent": {**LITERAL, "cutoff": "14:00", "grace": "15m"}})
    uses = [DatedUse(None, FIRST)]
    (told,) = replay_customer("c", Profile(), Uses(dated=uses), product=compiled, last_on=FIRST + 1).triggers
    assert told.data.decided_at == "2025-03-02T05:15:00Z"
