"""Expected days: which days the calendar, and what was learned, hold a customer to."""

from datetime import date
from functools import lru_cache

from services.evaluator.calendar import EPOCH_DAY, lengthless_days
from services.evaluator.days import span, weekdays
from services.evaluator.rules import Settings


@lru_cache(65_536)
def is_expected(settings: Settings, day: int) -> bool:
    """Whether the calendar expects use on a day (what was learned is not asked)."""
    return bool(calendar_days(settings, day, 1))


def calendar_days(settings: Settings, base: int, length: int) -> int:
    """The days base .. base+length-1 that the calendar expects, as a set with that base."""
    if length <= 0:
        return 0
    days = (1 << length) - 1
    days &= ~weekdays(settings.closed_weekdays, base, length)
    if settings.holidays:
        days &= ~holidays_between(settings.holidays, base, length)
    for first, last in settings.closures:
        days &= ~_clip(first, last, base, length)
    if settings.pause is not None:
        first, until = settings.pause
        days &= ~_clip(first, base + length if until is None else until, base, length)
    for window in range((base - EPOCH_DAY) // 64, (base + length - EPOCH_DAY) // 64 + 1):
        for day in lengthless_days(settings.zone, settings.day_starts, window):
            days &= ~_clip(day, day, base, length)
    return days


def holidays_between(country: str, base: int, length: int) -> int:
    """The public holidays among the days base .. base+length-1, as a set with that base."""
    first, last = date.fromordinal(base).year, date.fromordinal(base + length - 1).year
    found = 0
    for year in range(first, last + 1):
        start = date(year, 1, 1).toordinal() - base
        of_year = _holidays_of(country, year)
        found |= of_year << start if start >= 0 else of_year >> -start
    return found & ((1 << length) - 1)


def expected_set(
    settings: Settings,
    *,
    base: int,
    length: int,
    learned: int,
    excused: frozenset[int],
    cut_short: tuple[int, ...],
) -> int:
    """The expected days base .. base+length-1: the calendar's, less learned weekdays and single days."""
    days = calendar_days(settings, base, length)
    if learned:
        days &= ~weekdays(learned, base, length)
    for day in (*excused, *cut_short):
        days &= ~_clip(day, day, base, length)
    return days


@lru_cache(1024)
def _holidays_of(country: str, year: int) -> int:
    """The public holidays of one year, as a set whose base is 1 January."""
    import holidays  # heavy, and most products need one country or none

    code, _, subdivision = country.partition("-")
    start = date(year, 1, 1).toordinal()
    found = 0
    for day in holidays.country_holidays(code, subdiv=subdivision or None, years=year):
        if day.year == year:
            found |= 1 << (day.toordinal() - start)
    return found


def _clip(first: int, last: int, base: int, length: int) -> int:
    """The days first..last as a set with `base`, cut to its length."""
    return span(max(first - base, 0), min(last - base, length - 1))
