"""Counts and declines in a CSM's words."""

import msgspec
import pytest

from services.notifier.messages.wording import evidence, reasons, type_said
from services.notifier.messages.words import words
from shared.triggers import Reason, Trigger
from tests.unit.notifier.cases import stop, task

JA, EN = words("ja"), words("en")
FALL = Reason(code="decline", values={"active": 2, "days": 7, "active_before": 22, "days_before": 28})


def told(type_: str, *, count: int, reasons: tuple[Reason, ...] = ()) -> Trigger:
    of = stop()
    about = msgspec.structs.replace(
        of.data, cutoff_at=None, surprise=None, episode_day=None, count=count, reasons=reasons
    )
    return msgspec.structs.replace(of, type=type_, data=about)


@pytest.mark.parametrize(
    ("type_", "in_japanese", "in_english"),
    [
        ("scouts.reached", "目標を達成しました", "Goal reached"),
        ("scouts.reached.missed", "目標に届きませんでした", "Goal missed"),
        ("usage.declined", "利用が減りました", "Usage declined"),
    ],
)
def test_the_type_says_what_happened(type_: str, in_japanese: str, in_english: str) -> None:
    assert (type_said(type_, JA), type_said(type_, EN)) == (in_japanese, in_english)


def test_a_missed_goal_has_its_count_and_claims_no_day_without_use() -> None:
    of = task(told("scouts.reached.missed", count=4))
    lines = {line.label: line.text for line in evidence(of, EN)}
    assert lines["Counted"] == "4"
    assert "No use" not in lines


def test_a_decline_is_put_into_open_days_of_then_and_now() -> None:
    trigger = told("usage.declined", count=2, reasons=(FALL,))
    assert reasons(trigger, JA) == ("直近の営業日7日のうち利用は2日(以前は平均5.5日)",)
    assert reasons(trigger, EN) == ("Used on 2 of the last 7 open days; before, on 5.5 of as many",)
    assert "Counted" not in {line.label for line in evidence(task(trigger), EN)}
