"""Days on which nobody is sent anything: public holidays of a country and listed dates. Pure."""

from datetime import date
from functools import lru_cache

import msgspec


class QuietDays(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`holidays` as the holidays library names a country (`JP`, `US-CA`); `dates` both ends included."""

    holidays: str = ""
    dates: tuple[tuple[date, date], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.holidays or self.dates)

    def has(self, day: date) -> bool:
        """Whether nothing is sent on this day."""
        if any(first <= day <= last for first, last in self.dates):
            return True
        return bool(self.holidays) and day in _public_holidays(self.holidays, day.year)


@lru_cache(maxsize=256)
def _public_holidays(code: str, year: int) -> frozenset[date]:
    import holidays  # heavy: only when a country is named

    country, _, subdivision = code.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))
