"""Fewer active days than before: counted over open days, told at a day's end, once an episode."""

from typing import Any

import pytest

from shared.config import ProductSection
from tests.unit.evaluator.told import Diary, days_of, product

FADING: dict[str, Any] = {
    "kind": "decline",
    "recent_days": 4,
    "baseline_days": 8,
    "drop": 0.5,
    "emit": "usage.declined",
}
DAILY = days_of("2026-03-02", "2026-03-13")


def diary(calendar: dict[str, Any] | None = None, **changed: Any) -> Diary:
    learns = {"learn_closed_weekdays": False, **(calendar or {})}
    return Diary(product(rules={"fading": {**FADING, **changed}}, calendar=learns))


def live(of: Diary, *, until: str, used: list[str]) -> list[str]:
    """Use at ten, and a tick after the end of every day: what is told up to a day."""
    for day in days_of("2026-03-02", until):
        of.tick(f"{day}T00:30")
        if day in used:
            of.use(f"{day}T10:00")
    of.tick(f"{until}T23:59")
    return of.news()


def test_half_of_the_last_days_against_the_mean_of_those_before_is_told_at_the_days_end() -> None:
    of = diary()
    assert live(of, until="2026-03-15", used=DAILY) == []
    of.tick("2026-03-16T00:15")
    assert of.news() == []
    of.tick("2026-03-16T00:16")
    (told,) = of.told
    assert (told.type, str(told.data.day), told.data.count) == ("usage.declined", "2026-03-15", 2)
    assert told.timestamp == "2026-03-15T15:00:00Z"
    (reason,) = told.data.reasons
    assert reason.values == {"active": 2, "days": 4, "active_before": 8, "days_before": 8}


def test_it_is_told_once_an_episode_and_again_when_it_fell_again() -> None:
    back = days_of("2026-03-20", "2026-04-05")
    told = live(diary(), until="2026-04-12", used=DAILY + back)
    assert told == ["usage.declined 2026-03-15", "usage.declined 2026-04-07"]


def test_closed_days_are_passed_over() -> None:
    closed = {"closures": [["2026-03-14", "2026-03-22"]]}
    assert live(diary(closed), until="2026-03-24", used=DAILY) == []
    assert live(diary(closed), until="2026-03-25", used=DAILY) == ["usage.declined 2026-03-24"]


def test_a_customer_known_for_too_short_a_time_is_not_judged() -> None:
    assert live(diary(), until="2026-03-12", used=DAILY[:4]) == []


def test_a_drop_is_exact_to_the_last_day() -> None:
    """Three of four against a mean of four: a fall by a quarter, to the day."""
    used = [day for day in days_of("2026-03-02", "2026-03-20") if day != "2026-03-16"]
    assert live(diary(drop=0.25), until="2026-03-18", used=used) == ["usage.declined 2026-03-16"]
    assert live(diary(drop=0.26), until="2026-03-18", used=used) == []


def test_a_late_use_takes_no_decline_back() -> None:
    of = diary()
    assert live(of, until="2026-03-16", used=DAILY) == ["usage.declined 2026-03-15"]
    of.use("2026-03-14T10:00", read="2026-03-17T10:00")
    of.use("2026-03-15T10:00", read="2026-03-17T10:00")
    assert of.news() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"drop": 0}, "drop"),
        ({"drop": 1.2}, "drop"),
        ({"recent_days": 1}, "recent_days"),
        ({"recent_days": 14, "baseline_days": 7}, "baseline_days is at least recent_days"),
        ({"baseline_days": 1000}, "baseline_days"),
    ],
)
def test_spans_that_say_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProductSection.model_validate({"rules": {"fading": {**FADING, **wrong}}})
