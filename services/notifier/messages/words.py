"""Says things in a CSM's language: gettext catalogues read at start, dates as each language has them."""

from datetime import date
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_date, format_time, get_day_names
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from shared.clock import from_us
from shared.config import LANGUAGES

SOURCE_LANGUAGE = "en"
SECOND_US, MINUTE_US = 1_000_000, 60_000_000
_DAY = {"en": "EEE d MMM", "ja": "M月d日(EEE)"}
_DAY_WITH_YEAR = {"en": "EEE d MMM y", "ja": "y年M月d日(EEE)"}


class Words:
    """One language. Pure once made: the same question always gets the same words."""

    def __init__(self, language: str, catalog: Catalog | None) -> None:
        """`catalog` None: the source language, whose messages are their own translation."""
        self.language = language
        self._locale = Locale(language)
        self._catalog = catalog

    def say(self, message: str, **values: object) -> str:
        """A message with its values; untranslated where the catalogue does not know it."""
        return self._translated(message) % values if values else self._translated(message)

    def count(self, one: str, many: str, n: int, **values: object) -> str:
        """A message that depends on a number, which it may show as `%(n)s`."""
        found = self._catalog.get(one) if self._catalog is not None else None
        if found is not None and isinstance(found.string, tuple) and found.string[0]:
            forms, index = found.string, _plural_index(self.language, n)
            text = forms[min(index, len(forms) - 1)]
        else:
            text = one if n == 1 else many
        return text % {"n": n, **values}

    def name(self, name: str) -> str:
        """A customer as it is addressed."""
        return f"{name} 様" if self.language == "ja" else name

    def colleague(self, name: str) -> str:
        """A CSM as it is spoken of."""
        return f"{name}さん" if self.language == "ja" else name

    def day(self, day: date, *, year: bool = False) -> str:
        """`Mon 2 Mar`, `3月2日(月)`."""
        patterns = _DAY_WITH_YEAR if year else _DAY
        return format_date(day, patterns[self.language], locale=self._locale)

    def weekday(self, weekday: int) -> str:
        """0 = Monday: `Monday`, `月曜日`."""
        return str(get_day_names("wide", locale=self._locale)[weekday])

    def weekday_short(self, weekday: int) -> str:
        """0 = Monday: `Mon`, `月`."""
        return str(get_day_names("abbreviated", locale=self._locale)[weekday])

    def month(self, day: date) -> str:
        """`Mar`, `3月`."""
        return format_date(day, "MMM", locale=self._locale)

    def time(self, at_us: int, zone: ZoneInfo) -> str:
        """`14:00` in that zone, in both languages."""
        return format_time(from_us(at_us).astimezone(zone), "HH:mm", locale=self._locale)

    def moment(self, at_us: int, zone: ZoneInfo) -> str:
        """Day and time in that zone."""
        return f"{self.day(from_us(at_us).astimezone(zone).date())} {self.time(at_us, zone)}"

    def span(self, us: int) -> str:
        """So long as one would say it: seconds, then minutes, then hours and minutes."""
        if us < MINUTE_US:
            return self.count("%(n)s second", "%(n)s seconds", us // SECOND_US)
        minutes = round(us / MINUTE_US)
        if minutes < 60:
            return self.count("%(n)s minute", "%(n)s minutes", minutes)
        return self.say("%(hours)s h %(minutes)s min", hours=minutes // 60, minutes=minutes % 60)

    def _translated(self, message: str) -> str:
        found = self._catalog.get(message) if self._catalog is not None else None
        return str(found.string) if found is not None and found.string else message


def _plural_index(language: str, n: int) -> int:
    return 0 if language == "ja" or n == 1 else 1


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str) -> Words:
    """The words of a language; the source language for one that we do not speak."""
    if language == SOURCE_LANGUAGE or language not in LANGUAGES:
        return Words(SOURCE_LANGUAGE, None)
    with files("services.notifier").joinpath(f"locale/{language}.po").open("rb") as catalogue:
        return Words(language, read_po(catalogue, locale=language, abort_invalid=True))


def preferred(accept_language: str) -> str:
    """The first language of an Accept-Language header that we speak."""
    for part in accept_language.split(","):
        language = part.partition(";")[0].strip().partition("-")[0].lower()
        if language in LANGUAGES:
            return language
    return SOURCE_LANGUAGE
