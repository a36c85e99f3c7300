"""The fold as a whole: profiles, erasure, configuration changes, and what a state costs."""

from datetime import date
from typing import Any

import pytest

from services.evaluator import engine
from services.evaluator.core.state import encode_state
from shared.events import CustomerErased, Event, Profile, ProfileChanged
from tests.unit.evaluator.told import LITERAL, Diary, day, days_of, product

RULES = {"onboarding": {"kind": "streak", "days": 28}, "usage-stopped": LITERAL}


def test_a_customer_is_known_from_its_profile_alone() -> None:
    diary = Diary(product(rules=RULES))
    diary.profile("2026-03-01T10:00", name="鮨 山本", csm="csm-1")
    assert diary.state is not None
    assert diary.state.due_us is None
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-05T00:16")
    (trigger,) = diary.told
    assert (trigger.data.customer.name, trigger.data.customer.csm) == ("鮨 山本", "csm-1")


def test_a_whole_profile_replaces_and_a_merge_adds() -> None:
    compiled = product(rules=RULES)
    whole = Profile(name="a", csm="csm-1", properties={"plan": "pro", "seats": 3})

    def change(state: engine.CustomerState | None, profile: Profile, *, merge: bool) -> engine.CustomerState:
        message = ProfileChanged(
            product="reserve", customer_id="c", profile=profile, received_us=0, merge=merge
        )
        changed = engine.fold(state, message, product=compiled, appended_us=0, watermark_us=0).state
        assert changed is not None
        return changed

    first = change(None, whole, merge=False)
    merged = change(first, Profile(name="b", properties={"seats": 4}), merge=True)
    assert merged.profile == Profile(name="b", csm="csm-1", properties={"plan": "pro", "seats": 4})
    replaced = change(merged, Profile(name="c"), merge=False)
    assert replaced.profile == Profile(name="c")


def test_an_erased_customer_leaves_nothing() -> None:
    diary = Diary(product(rules=RULES))
    diary.use("2026-03-01T10:00")
    erased = engine.fold(
        diary.state,
        CustomerErased(product="reserve", customer_id="c-17", received_us=0),
        product=diary.product,
        appended_us=0,
        watermark_us=0,
    )
    assert erased == engine.Outcome(None)


def test_a_change_of_zone_takes_effect_at_the_end_of_the_usage_day() -> None:
    diary = Diary(product(rules=RULES))
    diary.use("2026-03-01T10:00")
    diary.profile("2026-03-01T12:00", time_zone="Europe/Berlin")
    diary.use("2026-03-01T23:30")  # still 1 March by the old zone, 15:30 in Berlin
    diary.use("2026-03-02T07:30")  # 23:30 on 1 March in Berlin: the day comes back
    diary.use("2026-03-02T08:30")  # 00:30 on 2 March in Berlin
    assert diary.state is not None
    assert (diary.state.base, diary.state.active["*"]) == (day("2026-03-01"), 0b11)


def test_a_change_back_on_the_same_day_leaves_one_setting() -> None:
    diary = Diary(product(rules=RULES))
    diary.use("2026-03-01T10:00")
    diary.profile("2026-03-01T12:00", time_zone="Europe/Berlin")
    diary.profile("2026-03-01T13:00", time_zone="Asia/Tokyo")
    assert diary.state is not None
    assert len(diary.state.segments) == 1


def test_a_rejected_event_leaves_the_state_as_it_was() -> None:
    diary = Diary(product(rules=RULES))
    diary.use("2026-03-01T10:00")
    before = diary.state
    diary.tick("2026-03-01T11:00")
    diary.use("2026-01-01T10:00", read="2026-03-03T10:00")
    assert diary.state == before
    assert diary.rejected == ["too_old"]


def test_a_rejected_first_event_makes_no_customer() -> None:
    diary = Diary(product(rules=RULES))
    diary.use("2199-01-01T10:00", read="2026-03-03T10:00")
    assert diary.state is None


def test_a_rule_that_is_gone_is_forgotten_and_the_rest_goes_on() -> None:
    diary = Diary(product(rules=RULES))
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.product = product(rules={"usage-stopped": LITERAL})
    diary.tick("2026-03-05T00:16")
    assert diary.news() == ["usage.stopped 2026-03-04"]
    assert diary.state is not None
    assert list(diary.state.rules) == ["usage-stopped"]


def test_an_edited_rule_does_not_tell_again_what_was_told() -> None:
    diary = Diary(product(rules=RULES))
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-05T00:16")
    diary.product = product(rules={"usage-stopped": {**LITERAL, "cutoff": "14:00"}})
    diary.tick("2026-03-08T00:16")
    diary.use("2026-03-08T10:00")
    assert diary.news() == ["usage.stopped 2026-03-04", "usage.resumed 2026-03-08"]


def test_replaying_a_log_gives_the_same_triggers_byte_for_byte() -> None:
    def told() -> list[object]:
        diary = Diary(product(rules=RULES))
        diary.uses(days_of("2026-03-01", "2026-03-20", but=["2026-03-07", "2026-03-08"]))
        diary.tick("2026-03-25T00:16")
        return list(diary.told)

    assert told() == told() != []


def test_an_early_history_is_refused_where_it_would_cost_a_bit_a_day_for_ever() -> None:
    event = Event(
        product="reserve",
        customer_id="c",
        event_id="e",
        occurred_on=date(1970, 1, 1),
        received_us=0,
        backfill=True,
    )
    diary = Diary(product(rules=RULES))
    outcome = engine.fold(
        None, event, product=diary.product, appended_us=diary.us("2026-03-01T10:00"), watermark_us=0
    )
    assert outcome.rejected is not None
    assert outcome.rejected[0] == "too_old"


def test_four_hundred_days_fit_into_three_hundred_bytes() -> None:
    diary = Diary(product(rules=RULES))
    for ordinal in range(day("2025-01-01"), day("2025-01-01") + 400):
        if ordinal % 7:
            diary.use(date.fromordinal(ordinal).isoformat() + "T10:00")
            diary.tick(date.fromordinal(ordinal).isoformat() + "T12:00")
    assert diary.state is not None
    assert len(encode_state(diary.state)) < 400


def test_the_first_use_of_all_may_be_told_of_already() -> None:
    diary = Diary(product(rules={"first": {"kind": "streak", "days": 1, "emit": "first.use"}}))
    diary.use("2026-03-01T10:00")
    assert diary.news() == ["first.use 2026-03-01"]


@pytest.mark.parametrize(
    ("rule", "is_plain"),
    [
        (LITERAL, True),
        ({"kind": "streak", "days": 28}, True),
        ({"kind": "streak", "days": 1}, False),
        ({"kind": "count", "at_least": 9, "within_days": 30, "anchor": "first_active_on"}, False),
        ({"kind": "decline", "recent_days": 7, "baseline_days": 28, "drop": 0.5}, False),
        ({**LITERAL, "when": {"event": "used", "where": {"paid": True}}}, False),
    ],
    ids=["absence", "streak", "told at once", "count", "decline", "properties"],
)
def test_a_first_use_goes_the_short_way_where_its_day_and_name_say_all(
    rule: dict[str, Any], *, is_plain: bool
) -> None:
    diary = Diary(product(rules={"rule": rule}))
    us = diary.us("2026-03-01T10:00")
    use = Event(product="reserve", customer_id="c", event_id="1", occurred_us=us, received_us=us)
    outcome = engine.fold(None, use, product=diary.product, appended_us=us, watermark_us=0)
    assert outcome.is_plain is is_plain
