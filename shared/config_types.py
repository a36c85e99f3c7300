"""What a value in the configuration file may be: durations, local times, weekdays, zones, windows, names."""

import re
from datetime import time, timedelta
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LANGUAGES = ("ja", "en")

_DURATION = re.compile(r"^\s*(\d+)\s*(s|m|h|d)\s*$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LOCAL_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")
_WINDOW = re.compile(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def parse_duration(value: object) -> timedelta:
    """`15m`, `2h`, `35d`, `90s`."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration is a number and one of s, m, h, d, such as 15m or 2h")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def parse_local_time(value: object) -> time:
    """`"05:00"`. YAML reads an unquoted 5:00 as the number 300, so say what to do about that."""
    if isinstance(value, time):
        return value
    match = _LOCAL_TIME.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError('a local time is written "HH:MM" in quotes, from "00:00" to "23:59"')
    return time(int(match[1]), int(match[2]))


def parse_weekdays(value: object) -> tuple[int, ...]:
    """`[mon, tue]` or `"mon tue"` as 0 = Monday .. 6 = Sunday."""
    words = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise ValueError("closed weekdays are a list such as [mon, tue]")
    days = set()
    for word in words:
        if word == "":
            continue
        key = str(word).strip().lower()[:3]
        if isinstance(word, int) and 0 <= word <= 6:
            days.add(word)
        elif key in WEEKDAYS:
            days.add(WEEKDAYS.index(key))
        else:
            raise ValueError(f"{word!r} is no weekday; use {' '.join(WEEKDAYS)}")
    if len(days) == len(WEEKDAYS):
        raise ValueError("every weekday is closed, so no day is ever expected: leave one out")
    return tuple(sorted(days))


@cache
def _zones() -> frozenset[str]:
    # Listing them walks the zone directory, which takes milliseconds: too long for every row of a file.
    return frozenset(available_timezones())


def check_time_zone(value: str) -> str:
    """An IANA zone known to the zone data in use."""
    if value not in _zones():
        raise ValueError(f"{value!r} is no IANA time zone, such as Asia/Tokyo or Europe/Berlin")
    ZoneInfo(value)
    return value


def check_holidays(value: str) -> str:
    """A country (`JP`) or country and subdivision (`US-CA`) known to the holidays library; "" for none."""
    if value == "":
        return value
    import holidays  # heavy: only when a country is named

    country, _, subdivision = value.partition("-")
    supported = holidays.list_supported_countries()
    if country not in supported or (subdivision and subdivision not in supported[country]):
        raise ValueError(f"{value!r} is no country of the holidays library, such as JP, DE or US-CA")
    return value


def check_window(value: str) -> str:
    """`"14:00-17:00"`; a window that ends before it starts goes over midnight, an empty one is refused."""
    if not _WINDOW.match(value):
        raise ValueError('a window is written "HH:MM-HH:MM"')
    if value[:5] == value[6:]:
        raise ValueError("a window that starts when it ends never opens")
    return value


def _identifier(value: str) -> str:
    if not _IDENTIFIER.match(value):
        raise ValueError("a name has letters, digits, '.', '_' and '-', 64 at the most")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration, json_schema_input_type=str)]
LocalTime = Annotated[time, BeforeValidator(parse_local_time, json_schema_input_type=str)]
Weekdays = Annotated[tuple[int, ...], BeforeValidator(parse_weekdays, json_schema_input_type=list[str] | str)]
TimeZone = Annotated[str, AfterValidator(check_time_zone)]
Holidays = Annotated[str, AfterValidator(check_holidays)]
Window = Annotated[str, AfterValidator(check_window)]
Name = Annotated[str, AfterValidator(_identifier)]


class Section(BaseModel):
    """A part of the file: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
