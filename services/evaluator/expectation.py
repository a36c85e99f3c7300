"""Judges from a customer's own past how surely it would have used the product on a day.

A history is an int: bit i set means that day `base + i` (a date's ordinal) was an active day. Only bits
before the day judged are read, so that a stop is decided from what was known when it was missed. The numbers
below are fixed evidence in log-odds, fitted once on one half of real histories (docs/calls.md); nothing is
trained where the product runs, and the same past always gives the same answer.
"""

from collections.abc import Iterable
from datetime import date
from math import exp, expm1, log, log1p
from typing import Final

from msgspec import Struct

from shared.triggers import Reason

REASON_VALUES: Final = {
    "closed_weekday": ("weekday", "active", "weeks"),
    "weekday_record": ("weekday", "active", "weeks"),
    "open_day_record": ("missed", "days"),
    "use_record": ("active", "days"),
    "silent_before": ("missed", "days"),
    "public_holiday": ("missed", "days"),
    "near_public_holiday": ("missed", "days"),
    "customary_break": ("missed", "days"),
    "silent_last_year": ("missed", "days"),
    "moved_opening": ("weekday",),
    "short_history": ("days",),
}
"""The closed list of what a reason may say, each with its counts (weekday: 0 is Monday)."""


class Expectation(Struct, frozen=True, kw_only=True):
    """What a customer's own past says of one day; the strongest reason stands first.

    `enough` is the combined surprise at which this customer's stop is worth a call, where a rule sets no
    `min_surprise` of its own.
    """

    expected: bool
    surprise: float
    enough: float
    reasons: tuple[Reason, ...] = ()


MIN_SURPRISE_DEFAULT: Final = 0.965
"""Enough for a customer that comes daily: some 4 false calls a year (docs/calls.md)."""

MIN_SURPRISE_LEAST: Final = 0.5
"""A call is never worth making while use was likelier not to come yet than to have come."""

FALSE_CALLS_A_YEAR: Final = 4
"""What is spent at most on a customer that comes seldom, whose few gaps would else never be called in time."""

_SURPRISE_MAX: Final = 0.999
_DAYS_A_YEAR: Final = 365.25

# A window holds the days before the day judged, its highest bit yesterday. Its width is whole weeks, so that
# bits 0, 7, 14 ... fall on the weekday of the day judged.
_WEEKS: Final = 26
_RECENT_WEEKS: Final = 9
_YEAR_WEEKS: Final = 53
_WIDTH: Final = 7 * _WEEKS
_YEAR_WIDTH: Final = 7 * _YEAR_WEEKS


def _every_week(weeks: int) -> int:
    return sum(1 << (7 * week) for week in range(weeks))


def _latest(days: int, width: int) -> int:
    """The last `days` days of a window."""
    return ((1 << days) - 1) << (width - days)


_FULL: Final = _latest(_WIDTH, _WIDTH)
_YEAR_FULL: Final = _latest(_YEAR_WIDTH, _YEAR_WIDTH)
_SAME_WEEKDAY: Final = _every_week(_WEEKS)
_YEAR_SAME_WEEKDAY: Final = _every_week(_YEAR_WEEKS)
_RECENT: Final = _latest(7 * _RECENT_WEEKS, _WIDTH)
_YESTERDAY: Final = _latest(1, _WIDTH)

# A weekday is closed when a usual one of the same customer is used at least four times as often; judged on
# the shortest of these windows that shows three uses of a usual weekday.
_CLOSED_RATIO: Final = 4
_CLOSED_EVIDENCE_MIN: Final = 3
_CLOSED_WINDOWS: Final = tuple(
    (7 * weeks, (1 << (7 * weeks)) - 1, tuple(_every_week(weeks) << offset for offset in range(7)))
    for weeks in (8, _WEEKS, _YEAR_WEEKS)
)


def learned_closed(active: int, base: int, day: int) -> int:
    """The weekdays (bit 0 is Monday) closed on `day`, as its past shows: hardly ever used lately."""
    offset = day - base
    if offset <= 0:
        return 0
    closed = _closed_offsets(active & ((1 << offset) - 1), offset)
    weekday = (day + 6) % 7
    return (closed << weekday | closed >> (7 - weekday)) & 0b1111111


def _closed_offsets(past: int, offset: int) -> int:
    """Closed weekdays as bits counted from the weekday of the day at `offset`.

    A weekday is held against the mean of the other six: a silent week counts for none of them, so that a
    customer back from a long silence still has its weekdays, and one that comes monthly has none closed.
    """
    for width, full, weekdays in _CLOSED_WINDOWS:
        window = _window(past, offset, width, full)
        total = window.bit_count()
        if total < 6 * _CLOSED_EVIDENCE_MIN:
            continue
        closed = 0
        for position, weekday in enumerate(weekdays):
            uses = (window & weekday).bit_count()
            others = total - uses
            if 6 * _CLOSED_RATIO * uses <= others and others >= 6 * _CLOSED_EVIDENCE_MIN:
                closed |= 1 << position
        return closed
    return 0


def _window(days: int, offset: int, width: int, full: int) -> int:
    return (days >> (offset - width) if offset >= width else days << (width - offset)) & full


def combine(surprises: Iterable[float]) -> float:
    """How surely use would have come on at least one of an episode's missed expected days."""
    return -expm1(sum([log1p(-min(surprise, _SURPRISE_MAX)) for surprise in surprises]))


# Evidence for use on the day of a customer whose weekday is a usual one, in log-odds.
_STEADY: Final = 1.27
_STEADY_MIN: Final = 0.5
_STEADY_USE_MIN: Final = 0.3
_STEADY_WEEKS_MIN: Final = 4
_RATE: Final = 2.23
_RATE_MAX: Final = 0.8
_RECENT_MISSES: Final = (0.0, -0.73, -1.18, -1.56, -1.85)
_OLDER_MISSES: Final = (0.0, -0.25, -0.45, -0.57, -1.08)
_MISS_RATE: Final = 0.25
_SPELL_RATE: Final = -0.54
_SPELL_LENGTH: Final = 0.32
_NEW: Final = -1.92
_NEW_DAYS: Final = 14
_NEW_TOLD: Final = -0.5
_SILENT: Final = (0.0, 0.48, -1.68, -2.27, -3.28)
_SILENT_MISS_RATE: Final = 0.52
_SILENT_LENGTH: Final = -0.75
_MOVED: Final = -1.45
_MOVED_HOLIDAY: Final = -1.05
_HOLIDAY: Final = -0.73
_HOLIDAY_RECORD: Final = -5.43
_BESIDE: Final = -0.36
_YEAR_END: Final = -2.68
_BREAK: Final = -1.37
# The histories overlap by four months, too little to fit this one: it is a judgement, and rare.
_LAST_YEAR: Final = -1.0
_LAST_YEAR_DAYS: Final = 5
# Evidence of a customer that comes now and then: close to memoryless in the histories at hand.
_SELDOM: Final = -1.42
_SELDOM_USE: Final = 0.63
_SELDOM_WEEKDAY: Final = 0.22


def expect(active: int, base: int, day: int, *, holidays: int = 0, breaks: int = 0) -> Expectation:
    """What the days before `day` say of it; `holidays` and `breaks` are sets of days on the same base.

    `holidays` are the public ones of the customer's country, `breaks` those of custom (`customary_breaks`).
    Both are known beforehand and should reach a day beyond `day`; 0 where no country is known.
    """
    offset = day - base
    past = active & ((1 << offset) - 1) if offset > 0 else 0
    if not past:
        return _BEFORE_FIRST_USE
    weekday = (day + 6) % 7
    closed = _closed_offsets(past, offset)
    used = _window(past, offset, _WIDTH, _FULL)
    known_days = min(offset - lowest(past) - 1, _WIDTH)
    known = _latest(known_days, _WIDTH)
    silent_days = min(offset - past.bit_length(), _WIDTH)
    use_count = used.bit_count()
    use = (use_count + 0.5) / (known_days - silent_days + 3)
    enough = min(max(1 - FALSE_CALLS_A_YEAR / (use * _DAYS_A_YEAR), MIN_SURPRISE_LEAST), MIN_SURPRISE_DEFAULT)
    same = _SAME_WEEKDAY & known
    weeks, weekday_uses = same.bit_count(), (same & used).bit_count()
    if closed & 1:
        reason = _reason("closed_weekday", weekday, weekday_uses, weeks)
        return Expectation(expected=False, surprise=0.0, enough=enough, reasons=(reason,))

    recent = same & _RECENT
    recent_weeks = recent.bit_count()
    rate = ((recent & used).bit_count() + 1.5 * use) / (recent_weeks + 1.5)
    if rate < _STEADY_MIN or (use < _STEADY_USE_MIN and recent_weeks < _STEADY_WEEKS_MIN):
        ...
