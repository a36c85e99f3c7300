"""The backtest as a page with charts, for whoever decides about a rule. Pure text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING, Final

from services.commands import charts
from services.commands.backtesting import settings
from services.commands.backtesting.foresight import Foresight
from services.commands.backtesting.load import DayKind, Load
from services.commands.backtesting.telling import Aids, Sweep, foresight_lines

if TYPE_CHECKING:
    from services.commands.calls import Call

OWNERS_MAX: Final = 6


def page(
    title: str,
    head: Sequence[str],
    facts: Sequence[tuple[str, str]],
    calls: Sequence["Call"],
    weekdays: Sequence[tuple[str, int]],
    endings: Sequence[tuple[str, int]],
    stop_count: int,
    aids: Aids,
) -> str:
    """The calls by day, CSM and kind of day; how stops ended; other settings; outcomes."""
    parts = [f"<h1>{escape(title)}</h1>", *(f'<p class="soft">{escape(line)}</p>' for line in head)]
    parts.append(charts.facts(facts))
    if calls:
        parts += _by_day(calls, aids.loads)
        parts += _kinds(weekdays, aids.kinds)
    if stop_count:
        rows = [(when, f"{count:,}", f"{count / stop_count:.1%}") for when, count in endings]
        parts += [f"<h2>How the {stop_count:,} stops ended</h2>", charts.table(("", "stops", "share"), rows)]
    for sweep in aids.sweeps:
        parts += _sweep(sweep)
    if aids.foresight is not None:
        parts += _foresight(aids.foresight, aids.outcome_reading)
    return charts.page(title, parts)


def _by_day(calls: Sequence["Call"], loads: Sequence[Load]) -> Iterator[str]:
    yield "<h2>Calls by day</h2>"
    given = Counter(call.given_on for call in calls)
    first, last = min(given), max(given)
    yield charts.bars(_days(given, first, last), label="Calls that go out on each day, all CSMs")
    yield "<h2>Calls by CSM</h2>"
    headings = (
        "CSM",
        "calls",
        "days",
        "median a day",
        "busiest",
        "on",
        "a day at most",
        "days over",
        "calls over",
    )
    yield charts.table(headings, (_load(load) for load in loads))
    for load in loads[:OWNERS_MAX]:
        if load.daily_max is not None:
            mark = (float(load.daily_max), f"{load.daily_max} a day")
            yield charts.bars(_days(load.by_day, first, last), label=f"Calls of {load.name}", mark=mark)


def _days(counts: Mapping[date, int], first: date, last: date) -> list[tuple[str, float]]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [(day.isoformat(), float(counts.get(day, 0))) for day in days]


def _load(load: Load) -> tuple[str, ...]:
    busiest_on, busiest_count = load.busiest
    is_told = load.daily_max is not None
    return (
        load.name,
        f"{load.call_count:,}",
        f"{len(load.by_day):,}",
        f"{load.median_count:g}",
        f"{busiest_count:,}",
        busiest_on.isoformat(),
        str(load.daily_max) if is_told else "",
        f"{load.over_days:,}" if is_told else "",
        f"{load.over_count:,}" if is_told else "",
    )


def _kinds(weekdays: Sequence[tuple[str, int]], kinds: Sequence[DayKind]) -> Iterator[str]:
    yield "<h2>Which days were missed</h2>"
    yield charts.bars([(name, float(n)) for name, n in weekdays], label="Calls by weekday of the missed day")
    total = sum(kind.call_count for kind in kinds) or 1
    rows = [
        (k.name, f"{k.call_count:,}", f"{k.call_count / total:.1%}", f"{k.share_of_days:.1%}") for k in kinds
    ]
    yield charts.table(("kind of day", "calls", "of all calls", "of all days"), rows)


def _sweep(sweep: Sweep) -> Iterator[str]:
    yield f"<h2>What other settings of {escape(sweep.rule)} would do</h2>"
    yield (
        '<p class="soft">Stops, and false ones after which the customer came back, a customer and year; '
        "and of true stops, made by cutting histories off at drawn days, the share called by the first "
        "and second day of use that never came. Waiting for peers is left out.</p>"
    )
    rows = [(settings.change(one.setting, sweep.own), *settings.figures(one)) for one in sweep.around]
    yield charts.table(settings.HEADINGS, rows, now=0)
    frontier = [one for one in sweep.grid if one.setting.cutoff == sweep.own.cutoff]
    yield charts.scatter(
        [
            (one.false_stops, one.first_day, settings.words(one.setting), one.setting == sweep.own)
            for one in frontier
        ],
        label="Each point a setting with the present cutoff: false stops a customer and year (across), "
        "true stops called on the first day (up). The large one is as it is.",
    )
    whole = [(settings.words(one.setting), *settings.figures(one)) for one in sweep.grid]
    yield f"<details><summary>All {len(whole)} combinations</summary>"
    yield charts.table(settings.HEADINGS, whole)
    yield "</details>"


def _foresight(found: Foresight, reading: str) -> Iterator[str]:
    yield "<h2>Stops and outcomes</h2>"
    yield from (f"<p>{escape(line.strip())}</p>" for line in foresight_lines(found, reading))
