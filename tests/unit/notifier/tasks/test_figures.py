"""What a team's calls came to."""

from datetime import date
from zoneinfo import ZoneInfo

from services.notifier.tasks.figures import Call, team_figures
from services.notifier.tasks.lifecycle import Outcome
from tests.unit.notifier.cases import HOUR, MINUTE, at

TOKYO = ZoneInfo("Asia/Tokyo")
SECOND_OF_MARCH = date(2026, 3, 2)


def call(
    by: str = "csm-1",
    done: str = "2026-03-02T15:00+09:00",
    *,
    rule: str = "usage-stopped",
    outcome: Outcome = "reached",
    waited_us: int = 30 * MINUTE,
) -> Call:
    done_us = at(done)
    return Call(
        rule=rule,
        by=by,
        outcome=outcome,
        opened_us=done_us - waited_us - 5 * MINUTE,
        first_touch_us=done_us - 5 * MINUTE,
        done_us=done_us,
    )


def test_touches_are_counted_by_person_and_by_the_days_of_the_zone() -> None:
    calls = [
        call(done="2026-03-01T00:10+09:00"),
        call(done="2026-02-28T23:50+09:00"),
        call(),
        call(),
        call("csm-2"),
    ]
    found = team_figures(calls, last_on=SECOND_OF_MARCH, day_count=3, zone=TOKYO)
    assert found.days == (date(2026, 2, 28), date(2026, 3, 1), SECOND_OF_MARCH)
    assert [(p.who, p.per_day, p.count) for p in found.people] == [
        ("csm-1", (1, 1, 2), 4),
        ("csm-2", (0, 0, 1), 1),
    ]


def test_what_lies_before_the_first_day_is_not_counted() -> None:
    found = team_figures(
        [call(done="2026-02-27T12:00+09:00")], last_on=SECOND_OF_MARCH, day_count=3, zone=TOKYO
    )
    assert (found.count, found.people, found.wait_median_us) == (0, (), None)


def test_the_wait_is_from_the_stop_to_the_first_touch_and_its_middle_is_told() -> None:
    waits = (10 * MINUTE, 20 * MINUTE, 5 * HOUR)
    found = team_figures(
        [call(waited_us=us) for us in waits], last_on=SECOND_OF_MARCH, day_count=1, zone=TOKYO
    )
    assert found.wait_median_us == 20 * MINUTE


def test_false_alarms_are_told_by_rule_and_outcomes_in_their_own_order() -> None:
    calls = [
        call(outcome="false_alarm"),
        call(),
        call(),
        call(outcome="churn_risk"),
        call(rule="never-started", outcome="false_alarm"),
    ]
    found = team_figures(calls, last_on=SECOND_OF_MARCH, day_count=1, zone=TOKYO)
    assert [(r.rule, r.count, r.false_count, r.false_share) for r in found.rules] == [
        ("never-started", 1, 1, 1.0),
        ("usage-stopped", 4, 1, 0.25),
    ]
    assert found.outcomes == (("reached", 2), ("churn_risk", 1), ("false_alarm", 2))
