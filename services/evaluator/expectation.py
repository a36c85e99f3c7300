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
    "silent_before": ("missed", "days"),
    "public_holiday": ("missed", "days"),
    "near_public_holiday": ("missed", "days"),
    "customary_break": ("missed", "days"),
    "moved_opening": ("weekday",),
    "short_history": ("days",),
}
"""The closed list of what a reason may say, each with its counts (weekday: 0 is Monday)."""


class Expectation(Struct, frozen=True, kw_only=True):
    """What a customer's own past says of one day; the strongest reason stands first."""

    expected: bool
    surprise: float
    reasons: tuple[Reason, ...] = ()


_NOT_EXPECTED: Final = Expectation(expected=False, surprise=0.0)
MIN_SURPRISE_DEFAULT: Final = 0.965
"""A stop is raised when this sure: about 4 false calls a daily customer and year (docs/calls.md)."""

WEEKS: Final = 26
_RECENT_WEEKS: Final = 9
_CLOSED_WEEKS: Final = 8
_YEAR_WEEKS: Final = 53
_SURPRISE_MAX: Final = 0.999


def _every_week(weeks: int) -> int:
    return sum(1 << (7 * week) for week in range(weeks))


def _latest(days: int, width: int) -> int:
    return ((1 << days) - 1) << (width - days)


# A window holds the days before the day judged, its highest bit yesterday. Its width is whole weeks, so that
# bits 0, 7, 14 ... fall on the weekday of the day judged.
_WIDTH: Final = 7 * WEEKS
_FULL: Final = (1 << _WIDTH) - 1
_SAME_WEEKDAY: Final = _every_week(WEEKS)
_RECENT: Final = _latest(7 * _RECENT_WEEKS, _WIDTH)
_YESTERDAY: Final = 1 << (_WIDTH - 1)
_YEAR_WIDTH: Final = 7 * _YEAR_WEEKS
_YEAR_FULL: Final = (1 << _YEAR_WIDTH) - 1
_YEAR_SAME_WEEKDAY: Final = _every_week(_YEAR_WEEKS)
_CLOSED_WIDTHS: Final = (7 * _CLOSED_WEEKS, 7 * WEEKS, 7 * _YEAR_WEEKS)
_CLOSED_MASKS: Final = tuple(
    (width, (1 << width) - 1, tuple(_every_week(width // 7) << offset for offset in range(7)))
    for width in _CLOSED_WIDTHS
)
# A weekday is closed when it was used at most once for every `_CLOSED_RATIO` uses of a usual weekday.
_CLOSED_RATIO: Final = 4
_CLOSED_EVIDENCE_MIN: Final = 3


def _window(days: int, offset: int, width: int, full: int) -> int:
    return (days >> (offset - width) if offset >= width else days << (width - offset)) & full


def _closed_offsets(active: int, offset: int) -> int:
    """Closed weekdays as bits counted from the weekday of the day at `offset`."""
    for width, full, masks in _CLOSED_MASKS:
        window = _window(active, offset, width, full)
        total = window.bit_count()
        # A weekday is held against the mean of the other six, so silent weeks count neither way and a
        # customer who comes monthly has no weekday closed for want of use.
        if total < 6 * _CLOSED_EVIDENCE_MIN:
            continue
        closed = 0
        for position, mask in enumerate(masks):
            uses = (window & mask).bit_count()
            others = total - uses
            if 6 * _CLOSED_RATIO * uses <= others and others >= 6 * _CLOSED_EVIDENCE_MIN:
                closed |= 1 << position
        return closed
    return 0


def learned_closed(active: int, base: int, day: int) -> int:
    """The weekdays (bit 0 is Monday) closed on `day`, as its past shows: hardly ever used lately."""
    offset = day - base
    if offset <= 0:
        return 0
    closed = _closed_offsets(active & ((1 << offset) - 1), offset)
    weekday = (day + 6) % 7
    return (closed << weekday | closed >> (7 - weekday)) & 0b1111111


# Evidence, in log-odds for use on the day. Fitted on half A of the restaurants; see docs/calls.md.
_BASE: Final = 3.148
_RECENT_MISSES: Final = (0.0, -0.74, -1.25, -1.81, -2.22)
_OLDER_MISSES: Final = (0.0, -0.31, -0.5, -0.62, -1.17)
_NEW: Final = -2.33
_NEW_DAYS: Final = 14
_MISS_RATE: Final = 0.25
_SPELL_RATE: Final = -0.54
_SPELL_LENGTH: Final = 0.25
_SILENT: Final = (0.0, 0.44, -1.7, -2.35, -3.34)
_SILENT_MISS_RATE: Final = 0.52
_SILENT_LENGTH: Final = -0.82
_HOLIDAY: Final = -0.6
_HOLIDAY_RECORD: Final = -5.5
_BESIDE: Final = -0.35
_MOVED: Final = -1.46
_MOVED_HOLIDAY: Final = -1.03
_YEAR_END: Final = -2.53
_BREAK: Final = -1.3


def combine(surprises: Iterable[float]) -> float:
    """How surely use would have come on at least one of an episode's missed expected days."""
    return -expm1(sum(log1p(-min(surprise, _SURPRISE_MAX)) for surprise in surprises))


_CUSTOMARY: Final = {
    # Year-end and Obon: law knows only 1 January and 11 August, shops and offices close around them.
    "JP": ((12, 30, 12, 31), (1, 1, 1, 4), (8, 13, 8, 16)),
    "GB": ((12, 24, 12, 31), (1, 1, 1, 2)),
}


def customary_breaks(country: str, base: int, length: int) -> int:
    """The days base .. base+length-1 on which a country rests by custom, as a set with that base."""
    spans = _CUSTOMARY.get(country.partition("-")[0], ())
    found = 0
    for year in range(date.fromordinal(base).year, date.fromordinal(base + max(length, 1) - 1).year + 1):
        for from_month, from_day, to_month, to_day in spans:
            first = max(date(year, from_month, from_day).toordinal() - base, 0)
            last = min(date(year, to_month, to_day).toordinal() - base, length - 1)
            if first <= last:
                found |= ((1 << (last - first + 1)) - 1) << first
    return found


def expect(active: int, base: int, day: int, *, holidays: int = 0, breaks: int = 0) -> Expectation:
    """What the days before `day` say of it; `holidays` and `breaks` are bitmaps on the same base.

    `holidays` are public holidays, `breaks` the customary ones that no law names (`customary_breaks`); both
    are calendars known beforehand, so they may and should reach beyond `day`.
    """
    offset = day - base
    if offset <= 0 or not (past := active & ((1 << offset) - 1)):
        return _NOT_EXPECTED
    weekday = (day + 6) % 7
    used = _window(past, offset, _WIDTH, _FULL)
    first = (past & -past).bit_length() - 1
    known_days = offset - first - 1
    known = _FULL if known_days >= _WIDTH else ((1 << known_days) - 1) << (_WIDTH - known_days)
    same = _SAME_WEEKDAY & known
    weeks = same.bit_count()
    uses = (same & used).bit_count()
    closed = _closed_offsets(past, offset)
    if closed & 1:
        reason = _reason("closed_weekday", weekday, uses, weeks)
        return Expectation(expected=False, surprise=0.0, reasons=(reason,))

    plain = known & ~_window(holidays, offset, _WIDTH, _FULL)
    open_days = (0b1111111 ^ closed) * _SAME_WEEKDAY & known
    silent_days = offset - past.bit_length()
    silence = _latest(min(silent_days, _WIDTH), _WIDTH)
    silent = (silence & open_days).bit_count()
    missed_weekday = same & plain & ~used
    recent_misses = (missed_weekday & _RECENT).bit_count()
    recent_weeks = (same & _RECENT).bit_count()
    older_misses = missed_weekday.bit_count() - recent_misses

    plain_open = open_days & plain
    missed = plain_open & ~used & ~silence
    missed_count = missed.bit_count()
    spell_count = (missed & ~(missed << 1)).bit_count()
    plain_count = plain_open.bit_count()

    rate = (recent_weeks - (same & _RECENT & ~used).bit_count() + 1) / (recent_weeks + 1.5)
    miss_odds = (missed_count + 0.5) / (plain_count + 11.5 - missed_count)
    rate_of_misses = log(miss_odds)
    spell_rate = log((spell_count + 0.5) / (plain_count + 12))
    spell_length = log((missed_count + 1) / (spell_count + 1))

    reasons: list[tuple[float, Reason]] = []
    record = _RECENT_MISSES[min(recent_misses, 4)] + _OLDER_MISSES[min(older_misses, 4)]
    reasons.append((record, _reason("weekday_record", weekday, uses, weeks)))
    habit = _MISS_RATE * rate_of_misses + _SPELL_RATE * spell_rate + _SPELL_LENGTH * spell_length
    reasons.append((habit, _reason("open_day_record", missed_count, plain_count)))
    odds = _BASE + record + habit
    new = _NEW / (1 + (known_days + 1) / _NEW_DAYS)
    odds += new
    if new < -0.5:
        reasons.append((new, _reason("short_history", known_days + 1)))
    if silent:
        evidence = _SILENT[min(silent, 4)]
        if silent == 1:
            evidence += _SILENT_MISS_RATE * rate_of_misses + _SILENT_LENGTH * spell_length
        odds += evidence
        reasons.append((evidence, _reason("silent_before", silent, silent_days)))
    if used & _YESTERDAY and closed >> 6:
        evidence = _MOVED + (_MOVED_HOLIDAY if holidays >> (offset - 1) & 1 else 0.0)
        odds += evidence
        reasons.append((evidence, _reason("moved_opening", (weekday + 6) % 7)))
    around = holidays >> (offset - 1) & 0b111
    if around or breaks >> offset & 1:
        special = _special(past, offset, first, closed, holidays, breaks, day, missed_count, plain_count)
        odds += special[0]
        reasons.append(special)

    surprise = min(1 / (1 + exp(-odds)), _SURPRISE_MAX)
    if rate < 0.5:
        surprise = min(surprise, 0.7 * rate)
    reasons.sort(key=_strength, reverse=True)
    return Expectation(expected=True, surprise=surprise, reasons=tuple([reason for _, reason in reasons]))


def _reason(code: str, *values: int) -> Reason:
    return Reason(code=code, values=dict(zip(REASON_VALUES[code], values, strict=True)))


def _strength(reason: tuple[float, Reason]) -> float:
    return abs(reason[0])


def _special(
    past: int,
    offset: int,
    first: int,
    closed: int,
    holidays: int,
    breaks: int,
    day: int,
    missed_count: int,
    plain_count: int,
) -> tuple[float, Reason]:
    """The evidence of a public holiday, a customary break, or a day beside a holiday."""
    if breaks >> offset & 1:
        general = _YEAR_END if date.fromordinal(day).month in (12, 1) else _BREAK
        kind, code, weight = breaks, "customary_break", _HOLIDAY_RECORD
    elif holidays >> offset & 1:
        kind, code, general, weight = holidays, "public_holiday", _HOLIDAY, _HOLIDAY_RECORD
    else:
        kind, code, general, weight = holidays << 1 | holidays >> 1, "near_public_holiday", _BESIDE, 0.0
    used = _window(past, offset, _YEAR_WIDTH, _YEAR_FULL)
    days = min(offset - first - 1, _YEAR_WIDTH)
    open_days = (0b1111111 ^ closed) * _YEAR_SAME_WEEKDAY & _latest(days, _YEAR_WIDTH)
    earlier = _window(kind, offset, _YEAR_WIDTH, _YEAR_FULL) & open_days
    count = earlier.bit_count()
    missed = (earlier & ~used).bit_count()
    usual = (missed_count + 0.5) / (plain_count + 12)
    evidence = general + weight * (missed - usual * count) / (count + 1)
    return evidence, _reason(code, missed, count)
