"""What the team's calls came to: touches a day, time to the first contact, outcomes, false alarms. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import msgspec

from services.notifier.planning.zones import local_day
from services.notifier.tasks.lifecycle import OUTCOMES, Outcome

FALSE_ALARM: Outcome = "false_alarm"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made: who closed it with which outcome, and when somebody first took it up."""

    rule: str
    by: str
    outcome: Outcome
    opened_us: int
    first_touch_us: int
    done_us: int


class PersonFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one person did. `per_day` is in the order of the days; the waits are in microseconds."""

    who: str
    per_day: tuple[int, ...]
    count: int
    wait_median_us: int


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule was right; `false_share` is 0 to 1."""

    rule: str
    count: int
    false_count: int
    false_share: float


class TeamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows, for the same days, both ends included."""

    days: tuple[date, ...]
    people: tuple[PersonFigures, ...]
    rules: tuple[RuleFigures, ...]
    outcomes: tuple[tuple[Outcome, int], ...]
    count: int
    wait_median_us: int | None


def team_figures(calls: Sequence[Call], *, last_on: date, day_count: int, zone: ZoneInfo) -> TeamFigures:
    """The figures of the calls closed on these days of a zone."""
    days = tuple(last_on - timedelta(days=n) for n in reversed(range(day_count)))
    shown = [call for call in calls if days[0] <= local_day(call.done_us, zone) <= last_on]
    outcomes = Counter(call.outcome for call in shown)
    return TeamFigures(
        days=days,
        people=_people(shown, days, zone),
        rules=_rules(shown),
        outcomes=tuple((outcome, outcomes[outcome]) for outcome in OUTCOMES if outcomes[outcome]),
        count=len(shown),
        wait_median_us=_wait_median_us(shown) if shown else None,
    )


def _people(calls: Iterable[Call], days: Sequence[date], zone: ZoneInfo) -> tuple[PersonFigures, ...]:
    by_person: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_person[call.by].append(call)
    found = []
    for who, own in by_person.items():
        on = Counter(local_day(call.done_us, zone) for call in own)
        found.append(
            PersonFigures(
                who=who,
                per_day=tuple(on[day] for day in days),
                count=len(own),
                wait_median_us=_wait_median_us(own),
            )
        )
    return tuple(sorted(found, key=lambda person: (-person.count, person.who)))


def _rules(calls: Iterable[Call]) -> tuple[RuleFigures, ...]:
    counts, false_counts = Counter[str](), Counter[str]()
    for call in calls:
        counts[call.rule] += 1
        false_counts[call.rule] += call.outcome == FALSE_ALARM
    return tuple(
        RuleFigures(
            rule=rule, count=count, false_count=false_counts[rule], false_share=false_counts[rule] / count
        )
        for rule, count in sorted(counts.items())
    )


def _wait_median_us(calls: Sequence[Call]) -> int:
    return round(median(max(0, call.first_touch_us - call.opened_us) for call in calls))
