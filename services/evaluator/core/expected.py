"""Expected days: which days the calendar, and what was learned, hold a customer to.

A calendar is worked out once an era of 1,024 days, as a set, and read by slicing.
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import TypeVar

from services.evaluator.core.calendar import EPOCH_DAY, lengthless_days
from services.evaluator.core.days import span, weekdays
from services.evaluator.core.expectation import customary_breaks
from services.evaluator.core.rules import Settings

ERA_DAYS = 1024
_ERAS_CACHED_MAX = 8192

_Key = TypeVar("_Key")


def is_expected(settings: Settings, day: int) -> bool:
    """Whether the calendar expects use on a day (what was learned is not asked)."""
    return bool(_calendar(settings, day // ERA_DAYS) >> day % ERA_DAYS & 1)


def calendar_days(settings: Settings, base: int, length: int) -> int:
    """The days base .. base+length-1 that the calendar expects, as a set with that base."""
    return _sliced(_calendar, settings, base, length)


def public_holidays(country: str, base: int, length: int) -> int:
    """The public holidays among the days base .. base+length-1, as a set with that base; none for a country
    that the library does not know."""
    return _sliced(_holidays, country, base, length) if country else 0


def breaks_of_custom(country: str, base: int, length: int) -> int:
    """The days on which a country rests by custom, as a set with that base."""
    return _sliced(_breaks, country, base, length) if country else 0


def days_of_rest(country: str, base: int, length: int) -> tuple[int, int]:
    """`public_holidays` and `breaks_of_custom` in one, of at least so many days: every judgement asks."""
    if not country or length <= 0:
        return 0, 0
    eras = -(-length // ERA_DAYS)
    return _from(_holidays, country, base, eras), _from(_breaks, country, base, eras)


def _sliced(of_era: Callable[[_Key, int], int], key: _Key, base: int, length: int) -> int:
    if length <= 0:
        return 0
    return _from(of_era, key, base, -(-length // ERA_DAYS)) & ((1 << length) - 1)


@lru_cache(_ERAS_CACHED_MAX)
def _from(of_era: Callable[[_Key, int], int], key: _Key, base: int, eras: int) -> int:
    """The days of so many eras from `base` on: customers have their bases in common, and keep them."""
    era, offset = divmod(base, ERA_DAYS)
    found = 0
    for n in range(eras + 1):
        found |= of_era(key, era + n) << n * ERA_DAYS
    return found >> offset & ((1 << eras * ERA_DAYS) - 1)


@lru_cache(_ERAS_CACHED_MAX)
def _calendar(settings: Settings, era: int) -> int:
    base = era * ERA_DAYS
    days = (1 << ERA_DAYS) - 1
    days &= ~weekdays(settings.closed_weekdays, base, ERA_DAYS)
    if settings.holidays:
        days &= ~_holidays(settings.holidays, era)
    for first, last in settings.closures:
        days &= ~_clip(first, last, base)
    if settings.pause is not None:
        first, until = settings.pause
        days &= ~_clip(first, base + ERA_DAYS if until is None else until, base)
    for window in range((base - EPOCH_DAY) // 64, (base + ERA_DAYS - EPOCH_DAY) // 64 + 1):
        for day in lengthless_days(settings.zone, settings.day_starts, window):
            days &= ~_clip(day, day, base)
    return days


@lru_cache(_ERAS_CACHED_MAX)
def _holidays(country: str, era: int) -> int:
    import holidays  # heavy, and most products need one country or none

    base = max(era * ERA_DAYS, 1)
    code, _, subdivision = country.partition("-")
    if code not in holidays.list_supported_countries():
        return 0
    years = range(date.fromordinal(base).year, date.fromordinal(base + ERA_DAYS).year + 1)
    found = 0
    for day in holidays.country_holidays(code, subdiv=subdivision or None, years=years):
        found |= _clip(day.toordinal(), day.toordinal(), era * ERA_DAYS)
    return found


@lru_cache(_ERAS_CACHED_MAX)
def _breaks(country: str, era: int) -> int:
    return customary_breaks(country, era * ERA_DAYS, ERA_DAYS) if era else 0


def _clip(first: int, last: int, base: int) -> int:
    """The days first..last as a set with `base`, cut to its era."""
    return span(max(first - base, 0), min(last - base, ERA_DAYS - 1))
