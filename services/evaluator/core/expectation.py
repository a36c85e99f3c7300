"""Judges from a customer's own past how surely it would have used the product on a day.

A history is an int: bit i set means that day `base + i` (a date's ordinal) was an active day. Only bits
before the day judged are read, so that a stop is decided from what was known when it was missed. The numbers
below are fixed evidence in log-odds, fitted once on one half of real histories (docs/calls.md); nothing is
trained where the product runs, and the same past always gives the same answer.
"""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from math import exp, expm1, log, log1p
from typing import Final

from msgspec import Struct

from services.evaluator.core.closings import closed_offsets
from services.evaluator.core.days import every_week, window
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


Told = tuple[float, str, tuple[int, ...]]
"""Evidence in log-odds, and the reason it is: a code with its counts."""


class Expectation(Struct, frozen=True, kw_only=True):
    """What a customer's own past says of one day.

    `enough` is the combined surprise at which this customer's stop is worth a call, where a rule sets no
    `min_surprise` of its own.
    """

    expected: bool
    surprise: float
    enough: float
    told: tuple[Told, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The strongest first; put into words only for the few days that are told of."""
        told = sorted(self.told, key=_strength, reverse=True)
        return tuple([_reason(code, values) for _, code, values in told])


@lru_cache(4096)  # counts of weeks and misses are small: the same ones are told of many customers
def _reason(code: str, values: tuple[int, ...]) -> Reason:
    return Reason(code=code, values=dict(zip(REASON_VALUES[code], values, strict=True)))


MIN_SURPRISE_DEFAULT: Final = 0.967
"""Enough for a customer that comes daily: some 4 false calls a year (docs/calls.md)."""

MIN_SURPRISE_LEAST: Final = 0.5
"""A call is never worth making while use was likelier not to come yet than to have come."""

FALSE_CALLS_A_YEAR: Final = 4
"""Spent at most on a customer that comes seldom, whose gaps would else never be called in time."""

_SURPRISE_MAX: Final = 0.999
_ENOUGH_PRIOR_DAYS: Final = 30  # a customer is taken for one that comes seldom until it shows otherwise
_DAYS_A_YEAR: Final = 365.25

# A window holds the days before the day judged, its highest bit yesterday. Its width is whole weeks, so that
# bits 0, 7, 14 ... fall on the weekday of the day judged.
_WEEKS: Final = 26
_RECENT_WEEKS: Final = 9
_YEAR_WEEKS: Final = 53
_WIDTH: Final = 7 * _WEEKS
_YEAR_WIDTH: Final = 7 * _YEAR_WEEKS


def _latest(days: int, width: int) -> int:
    """The last `days` days of a window."""
    return ((1 << days) - 1) << (width - days)


_LATEST: Final = tuple([_latest(days, _WIDTH) for days in range(_WIDTH + 1)])
_SAME_WEEKDAY: Final = every_week(_WEEKS)
_YEAR_SAME_WEEKDAY: Final = every_week(_YEAR_WEEKS)
_RECENT: Final = _latest(7 * _RECENT_WEEKS, _WIDTH)
_YESTERDAY: Final = _latest(1, _WIDTH)


def combine(surprises: Iterable[float]) -> float:
    """How surely use would have come on at least one of an episode's missed expected days."""
    return -expm1(sum(map(log_of_silence, surprises)))


def log_of_silence(surprise: float) -> float:
    """The logarithm of how likely a day was to pass without use: those of several days add up."""
    return log1p(-surprise if surprise < _SURPRISE_MAX else -_SURPRISE_MAX)


_BEFORE_FIRST_USE: Final = Expectation(expected=False, surprise=0.0, enough=MIN_SURPRISE_DEFAULT)


# Evidence for use on the day of a customer whose weekday is a usual one, in log-odds.
_STEADY: Final = 1.27
_STEADY_MIN: Final = 0.5
_STEADY_USE_MIN: Final = 0.3
_STEADY_WEEKS_MIN: Final = 4
_RATE: Final = 2.23
_RATE_MAX: Final = 0.8
_RECENT_MISSES: Final = (0.0, -0.73, -1.18, -1.56, *_RECENT_WEEKS * (-1.85,))
_OLDER_MISSES: Final = (0.0, -0.25, -0.45, -0.57, *_WEEKS * (-1.08,))
_MISS_RATE: Final = 0.25
_SPELL_RATE: Final = -0.54
_SPELL_LENGTH: Final = 0.32
_HABIT_USUAL: Final = -0.9  # of a usual customer: only ranks the reason among the others
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
_LAST_YEAR_FROM: Final = 368
_CUSTOMARY: Final = {
    # Year-end and Obon: the law knows 1 January and 11 August, shops and offices close around them.
    "JP": ((12, 30, 12, 31), (1, 1, 1, 4), (8, 13, 8, 16)),
    "GB": ((12, 24, 12, 31), (1, 1, 1, 2)),
}
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
    first = (past & -past).bit_length() - 1
    closed = closed_offsets(past, offset)
    used = window(past, offset, _WIDTH)
    # Asked of every missed day there is: a call of min costs three times what asking here does.
    known_days = offset - first - 1 if offset - first <= _WIDTH else _WIDTH
    known = _LATEST[known_days]
    silent_days = offset - past.bit_length()
    silent_days = silent_days if silent_days < _WIDTH else _WIDTH
    use_count = used.bit_count()
    enough = _enough(use_count, known_days - silent_days)
    same = _SAME_WEEKDAY & known
    weeks, weekday_uses = same.bit_count(), (same & used).bit_count()
    code = "closed_weekday" if closed & 1 else "weekday_record"
    weekday = ((day + 6) % 7, weekday_uses, weeks)
    if closed & 1:
        return Expectation(expected=False, surprise=0.0, enough=enough, told=((0.0, code, weekday),))

    recent = same & _RECENT
    recent_weeks = recent.bit_count()
    use = (use_count + 0.5) / (known_days + 4)
    rate = ((recent & used).bit_count() + 1.5 * use) / (recent_weeks + 1.5)
    seldom = use < _STEADY_USE_MIN and recent_weeks < _STEADY_WEEKS_MIN
    if seldom or rate < _STEADY_MIN:
        use = min((use_count + 1) / (known_days + 8), 0.95)
        evidence = _SELDOM_WEEKDAY * (_log_odds((weekday_uses + 2 * use) / (weeks + 2)) - _log_odds(use))
        surprise = _chance(_SELDOM + _SELDOM_USE * _log_odds(use) + evidence)
        told = [(0.0, "use_record", (use_count, known_days)), (0.0, code, weekday)]
        return Expectation(expected=True, surprise=surprise, enough=enough, told=tuple(told))

    plain = known & ~window(holidays, offset, _WIDTH)
    unused = plain & ~used
    recent_misses = (unused & recent).bit_count()
    older_misses = (unused & same).bit_count() - recent_misses
    silence = _LATEST[silent_days]
    open_days = (0b1111111 ^ closed) * _SAME_WEEKDAY & known
    open_count = (open_days & plain).bit_count()
    missed = open_days & unused & ~silence
    missed_count, spell_count = missed.bit_count(), (missed & ~(missed << 1)).bit_count()
    miss_rate = log((missed_count + 0.5) / (open_count - missed_count + 11.5))
    spell_length = log((missed_count + 1) / (spell_count + 1))

    record = _RECENT_MISSES[recent_misses] + _OLDER_MISSES[older_misses]
    habit = _MISS_RATE * miss_rate + _SPELL_LENGTH * spell_length
    habit += _SPELL_RATE * log((spell_count + 0.5) / (open_count + 12))
    told = [(record, code, weekday)]
    told.append((habit + _HABIT_USUAL, "open_day_record", (missed_count, open_count)))
    new = _NEW / (1 + (offset - first) / _NEW_DAYS)
    odds = _STEADY + _RATE * (rate if rate < _RATE_MAX else _RATE_MAX) + record + habit + new
    if new < _NEW_TOLD:
        told.append((new, "short_history", (offset - first,)))
    if silent := (silence & open_days).bit_count():
        evidence = _SILENT[min(silent, 4)]
        if silent == 1:
            evidence += _SILENT_MISS_RATE * miss_rate + _SILENT_LENGTH * spell_length
        odds += evidence
        told.append((evidence, "silent_before", (silent, silent_days)))
    if used & _YESTERDAY and closed >> 6:
        evidence = _MOVED + (_MOVED_HOLIDAY if holidays >> (offset - 1) & 1 else 0.0)
        odds += evidence
        told.append((evidence, "moved_opening", ((day + 5) % 7,)))
    special = (holidays >> (offset - 1) & 0b111) | (breaks >> offset & 1) << 3
    if special or first <= offset - _LAST_YEAR_FROM:
        year = _Year(past, offset, first, closed, missed_count / (open_count + 12))
        evidences = (_special(year, holidays, breaks, day) if special else None, _last_year(year))
        for found in evidences:
            if found:
                odds += found[0]
                told.append(found)
    return Expectation(expected=True, surprise=_chance(odds), enough=enough, told=tuple(told))


@lru_cache(4096)  # the counts of half a year: of daily customers nearly always the same
def _enough(use_count: int, days: int) -> float:
    """Judged as of the last use, so that it holds still while a silence lasts.

    Where surprise tells the truth, a share 1 - x of a customer's gaps reaches x: this x keeps the false calls
    of one with few gaps within the yearly allowance.
    """
    uses_a_year = _DAYS_A_YEAR * (use_count + 0.5) / (days + _ENOUGH_PRIOR_DAYS)
    return min(max(1 - FALSE_CALLS_A_YEAR / uses_a_year, MIN_SURPRISE_LEAST), MIN_SURPRISE_DEFAULT)


class _Year(Struct, frozen=True):
    """What the days around holidays and of a year ago are judged from."""

    past: int
    offset: int
    first: int
    closed: int
    usual: float
    """The share of plain open days missed."""

    def record(self, days: int) -> tuple[int, int]:
        """Of the open days among `days` in the last year: how many were missed, how many there were."""
        known = _latest(min(self.offset - self.first - 1, _YEAR_WIDTH), _YEAR_WIDTH)
        open_days = (0b1111111 ^ self.closed) * _YEAR_SAME_WEEKDAY & known
        earlier = window(days, self.offset, _YEAR_WIDTH) & open_days
        used = window(self.past, self.offset, _YEAR_WIDTH)
        return (earlier & ~used).bit_count(), earlier.bit_count()


def _special(year: _Year, holidays: int, breaks: int, day: int) -> Told:
    """The evidence of a customary break, a public holiday or a day beside one, and of this customer's own."""
    if breaks >> year.offset & 1:
        general = _YEAR_END if date.fromordinal(day).month in (12, 1) else _BREAK
        code, days = "customary_break", breaks
    elif holidays >> year.offset & 1:
        code, days, general = "public_holiday", holidays, _HOLIDAY
    else:
        days = (holidays << 1 | holidays >> 1) & ~holidays
        return _BESIDE, "near_public_holiday", year.record(days)
    missed, count = year.record(days)
    own = _HOLIDAY_RECORD * (missed - year.usual * count) / (count + 1)
    return general + own, code, (missed, count)


def _last_year(year: _Year) -> Told | None:
    """A silence of most of a week around this date a year ago: a yearly closing of its own."""
    if year.first > year.offset - _LAST_YEAR_FROM:
        return None
    around = 0b1111111 << (year.offset - _LAST_YEAR_FROM)
    missed, count = year.record(around)
    return (_LAST_YEAR, "silent_last_year", (missed, count)) if missed >= _LAST_YEAR_DAYS else None


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


def _log_odds(chance: float) -> float:
    return log(chance / (1 - chance))


def _chance(log_odds: float) -> float:
    chance = 1 / (1 + exp(-log_odds))
    return chance if chance < _SURPRISE_MAX else _SURPRISE_MAX


def _strength(told: Told) -> float:
    return abs(told[0])
