"""Nine scouts sent in the first month: what is counted, when it is told, and how small it stays."""

from datetime import date
from typing import Any

import pytest

from services.evaluator.core.counts import hash_of
from services.evaluator.core.state import CountState, encode_state
from shared.config import ProductSection
from shared.config_rules import COUNT_MAX
from tests.unit.evaluator.told import Diary, days_of, product

SCOUTS: dict[str, Any] = {
    "kind": "count",
    "when": {"event": "scout.*"},
    "at_least": 3,
    "within_days": 31,
    "emit": "scouts",
}


HASH = 0xBE436E82DDA15C47


def diary(**changed: Any) -> Diary:
    return Diary(product(rules={"scouts": {**SCOUTS, **changed}}))


def scouts(of: Diary, *days: str, **more: Any) -> None:
    for day in days:
        of.use(f"{day}T10:00", event="scout.sent", **more)


def test_the_event_that_was_missing_is_told_at_once_with_the_count() -> None:
    of = diary()
    scouts(of, "2026-03-01", "2026-03-02")
    assert of.news() == []
    scouts(of, "2026-03-20")
    (told,) = of.told
    assert (told.type, told.data.count, str(told.data.day)) == ("scouts", 3, "2026-03-20")
    assert told.timestamp == "2026-03-20T01:00:00Z"


def test_it_is_told_once_a_customer() -> None:
    of = diary()
    scouts(of, *days_of("2026-03-01", "2026-03-20"))
    of.tick("2026-05-01T12:00")
    assert of.news() == ["scouts 2026-03-03"]


def test_a_window_that_closes_short_is_told_after_its_grace_with_the_count() -> None:
    of = diary(grace="2h")
    scouts(of, "2026-03-01", "2026-03-31", "2026-04-01")
    of.tick("2026-04-01T02:00")
    assert of.news() == []
    of.tick("2026-04-01T02:01")
    (told,) = of.told
    assert (told.type, told.data.count, str(told.data.day)) == ("scouts.missed", 2, "2026-03-31")
    assert told.timestamp == "2026-03-31T15:00:00Z"


def test_a_late_event_takes_back_no_count_that_was_missed() -> None:
    of = diary(at_least=1, within_days=2)
    of.use("2026-03-01T10:00", event="login")
    of.tick("2026-03-03T01:00")
    assert of.news() == ["scouts.missed 2026-03-02"]
    scouts(of, "2026-03-02", read="2026-03-03T02:00")
    assert of.news() == []


def test_the_same_event_twice_counts_once() -> None:
    of = diary()
    for n in (1, 1, 2, 2, 2):
        of.use("2026-03-01T10:00", event="scout.sent", id=f"scout-{n}")
    assert of.news() == []
    of.use("2026-03-01T10:00", event="scout.sent", id="scout-3")
    assert of.news() == ["scouts 2026-03-01"]


def test_the_first_active_day_is_that_of_any_event() -> None:
    of = diary(within_days=3)
    of.use("2026-03-01T10:00", event="login")
    scouts(of, "2026-03-04", "2026-03-05", "2026-03-06")
    of.tick("2026-03-07T12:00")
    assert of.news() == ["scouts.missed 2026-03-03"]


def test_a_contract_told_after_its_events_is_reached_at_the_next_tick() -> None:
    of = diary(anchor="contract_started_on")
    scouts(of, *days_of("2026-03-01", "2026-03-05"))
    of.profile("2026-03-06T09:00", contract_started_on=date(2026, 3, 3))
    assert of.news() == []
    of.tick("2026-03-06T09:01")
    assert of.news() == ["scouts 2026-03-05"]


def test_history_reaches_a_count_in_silence_and_misses_none_that_closed_before_it_came() -> None:
    reached, closed = diary(), diary()
    scouts(reached, *days_of("2026-03-01", "2026-03-05"), read="2026-03-06T09:00", backfill=True)
    scouts(closed, "2025-03-01", read="2026-03-06T09:00", backfill=True)
    for of in (reached, closed):
        of.tick("2026-05-01T12:00")
        assert of.news() == []


def test_active_days_are_counted_from_the_set_of_days() -> None:
    of = diary(counting="active_days", when={"event": "*"}, at_least=2, within_days=5)
    of.use("2026-03-01T10:00", id="a")
    of.use("2026-03-01T11:00", id="b")
    assert of.news() == []
    of.use("2026-03-05T10:00")
    assert of.news() == ["scouts 2026-03-05"]


def test_what_is_remembered_of_events_is_bounded_and_dropped_when_it_is_told() -> None:
    of = diary(anchor="contract_started_on", at_least=COUNT_MAX)
    for n in range(2 * COUNT_MAX):
        of.use("2026-03-01T10:00", event="scout.sent", id=str(n))
    assert of.state is not None
    kept = of.state.rules["scouts"]
    assert isinstance(kept, CountState)
    assert len(kept.counted or ()) == COUNT_MAX
    assert len(encode_state(of.state)) < 20 * COUNT_MAX
    of = diary()
    scouts(of, *days_of("2026-03-01", "2026-03-03"))
    assert of.state is not None
    assert of.state.rules["scouts"] == CountState(kept_anchor(of), of.us("2026-03-01T10:00"), 0, (), "told")


def kept_anchor(of: Diary) -> int | None:
    assert of.state is not None
    kept = of.state.rules["scouts"]
    assert isinstance(kept, CountState)
    return kept.anchor_on


def test_a_hash_is_of_64_bits_and_the_same_everywhere() -> None:
    assert hash_of("evt-1") == HASH
    assert hash_of("evt-1") != hash_of("evt-2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"at_least": COUNT_MAX + 1},
        {"at_least": 0},
        {"within_days": 0},
        {"counting": "active_days", "at_least": 32},
        {"anchor": "renewal_on"},
    ],
)
def test_a_count_that_cannot_be_kept_or_never_fires_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="rules"):
        ProductSection.model_validate({"rules": {"scouts": {**SCOUTS, **wrong}}})
