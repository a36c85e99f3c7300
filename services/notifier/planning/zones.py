"""Turns local clock times and windows into instants, whatever a zone's clocks do."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.clock import from_us, to_us

Span = tuple[int, int]
"""From (included) to (excluded), microseconds since the epoch."""

Window = tuple[time, time]
"""From (included) to (excluded), local times; one that ends no later than it starts goes over midnight."""

DAY_US = 86_400_000_000
WHOLE_DAY: Window = (time(), time())


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except KeyError as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error


def instant_us(day: date, at: time, zone: ZoneInfo) -> int:
    """The instant of a local time: the first of a repeated one, the gap's end for a skipped one."""
    wanted = datetime.combine(day, at)
    first_us = to_us(wanted.replace(tzinfo=zone, fold=0))
    if _local(first_us, zone) == wanted:
        return first_us
    # In a gap fold=1 is read with the offset after it, which is before the transition in UTC.
    return _first_at_or_after(to_us(wanted.replace(tzinfo=zone, fold=1)), first_us, wanted, zone)


def _first_at_or_after(low_us: int, high_us: int, wanted: datetime, zone: ZoneInfo) -> int:
    while high_us - low_us > 1:
        middle_us = (low_us + high_us) // 2
        if _local(middle_us, zone) < wanted:
            low_us = middle_us
        else:
            high_us = middle_us
    return high_us


def instant_of(rfc3339: str) -> int:
    """Microseconds since the epoch of an RFC 3339 text."""
    return to_us(datetime.fromisoformat(rfc3339))


def local_day(at_us: int, zone: ZoneInfo, day_starts_at: time = time()) -> date:
    """The usage day that an instant belongs to."""
    local = _local(at_us, zone)
    return local.date() if local.time() >= day_starts_at else local.date() - timedelta(days=1)


def day_closes_us(at_us: int, zone: ZoneInfo, day_starts_at: time) -> int:
    """The first instant after the usage day that `at_us` belongs to."""
    day = local_day(at_us, zone, day_starts_at)
    closes_us = instant_us(day + timedelta(days=1), day_starts_at, zone)
    while closes_us <= at_us:  # Where clocks are set back over the day's start, the day goes on.
        closes_us += 3_600_000_000
    return closes_us


def parse_window(window: str) -> Window:
    """`"14:00-17:00"` as two local times. Raises ValueError on anything else."""
    opens, dash, closes = window.partition("-")
    if not dash or len(opens) != 5 or len(closes) != 5 or opens == closes:
        raise ValueError(f"{window!r} is no window such as 14:00-17:00")
    return time.fromisoformat(opens), time.fromisoformat(closes)


def openings(
    window: Window,
    zone: ZoneInfo,
    *,
    from_us: int,
    days_max: int,
    is_closed: Callable[[date], bool] = lambda _day: False,
) -> Iterator[Span]:
    """The spans in which a daily window is open, in order, from the one that may still be open at `from_us`.

    A window that ends before it starts goes over midnight and belongs to the day it starts on.
    """
    opens_at, closes_at = window
    over_midnight = timedelta(days=1 if closes_at <= opens_at else 0)
    first = local_day(from_us, zone) - timedelta(days=1)
    for day in (first + timedelta(days=n) for n in range(days_max + 2)):
        if is_closed(day):
            continue
        span = instant_us(day, opens_at, zone), instant_us(day + over_midnight, closes_at, zone)
        if span[0] < span[1] and span[1] > from_us:
            yield span


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return from_us(at_us).astimezone(zone).replace(tzinfo=None)
