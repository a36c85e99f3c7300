"""Usage days: which day an instant belongs to, and when a day opens, passes its cutoff and closes.

A zone is read as pieces of constant offset, found by searching over UTC; local times are never
combined with dates. All instants are microseconds since the epoch, UTC; a day is
`date.toordinal()`; a day start and a cutoff are minutes after local midnight.

Local time is not monotonic. Where a clock is set back over the day start, an earlier usage day
comes back for a while: it closes after its last instant, wherever that lies.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
EPOCH_DAY = 719_163
"""The ordinal of 1970-01-01."""

_WINDOW_US = 64 * DAY_US
_PROBE_US = 6 * HOUR_US  # no zone has ever changed its offset and changed it back within this
_REACH_US = 26 * HOUR_US  # no local time is further than this from UTC
_CACHED_DAYS_MAX = 65_536

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Piece = tuple[int, int, int]
"""From (included), until (excluded), offset: local time = instant + offset."""


def day_of(zone: str, day_starts: int, us: int) -> int:
    """The usage day to which an instant belongs."""
    return (us + _offset_us(zone, us) - day_starts * MINUTE_US) // DAY_US + EPOCH_DAY


@lru_cache(_CACHED_DAYS_MAX)
def opens_us(zone: str, day_starts: int, day: int) -> int:
    """The first instant of a usage day; of a day without length, the instant at which it was skipped."""
    opens, closes = _local_bounds(day_starts, day)
    for start, until, offset in _pieces_around(zone, opens, closes):
        first = max(start, opens - offset)
        if first < min(until, closes - offset):
            return first
    return closes_us(zone, day_starts, day)


@lru_cache(_CACHED_DAYS_MAX)
def closes_us(zone: str, day_starts: int, day: int) -> int:
    """The first instant after the last one that belongs to a usage day."""
    _, closes = _local_bounds(day_starts, day)
    last = 0
    for start, until, offset in _pieces_around(zone, closes, closes):
        if start < closes - offset:
            last = min(until, closes - offset)
    return last


@lru_cache(_CACHED_DAYS_MAX)
def plain_day(zone: str, day_starts: int, day: int) -> tuple[int, int] | None:
    """When a usage day opens and closes, where it is 24 hours in one piece; None for any other.

    Where a clock is changed over the day start, the day is longer than a day, or comes in two pieces.
    """
    opens, closes = opens_us(zone, day_starts, day), closes_us(zone, day_starts, day)
    return (opens, closes) if closes - opens == DAY_US else None


@lru_cache(_CACHED_DAYS_MAX)
def has_length(zone: str, day_starts: int, day: int) -> bool:
    """False for a day that no instant belongs to (Pacific/Apia skipped 2011-12-30)."""
    opens, closes = _local_bounds(day_starts, day)
    return any(
        max(start, opens - offset) < min(until, closes - offset)
        for start, until, offset in _pieces_around(zone, opens, closes)
    )


@lru_cache(_CACHED_DAYS_MAX)
def cutoff_us(zone: str, day_starts: int, day: int, cutoff: int | None) -> int:
    """When a usage day's cutoff has come: the first occurrence of that local time, or the end of a gap
    that skips it; the day's end where `cutoff` is None.
    """
    if cutoff is None:
        return closes_us(zone, day_starts, day)
    on_next_date = cutoff < day_starts
    local = (day - EPOCH_DAY + on_next_date) * DAY_US + cutoff * MINUTE_US
    for start, until, offset in _pieces_around(zone, local, local):
        first = max(start, local - offset)
        if first < until:
            return first
    return closes_us(zone, day_starts, day)


@lru_cache(4096)
def lengthless_days(zone: str, day_starts: int, window: int) -> tuple[int, ...]:
    """The days without length whose local midnight falls in a window of 64 days (almost always none)."""
    pieces = _pieces(zone, window - 1) + _pieces(zone, window) + _pieces(zone, window + 1)
    offsets = [offset for _, _, offset in pieces]
    if max(offsets) - min(offsets) < 20 * HOUR_US:
        return ()
    first = window * 64 + EPOCH_DAY
    return tuple(day for day in range(first, first + 64) if not has_length(zone, day_starts, day))


def _local_bounds(day_starts: int, day: int) -> tuple[int, int]:
    """Local times, as microseconds on a clock without zone, between which the day lies."""
    opens = (day - EPOCH_DAY) * DAY_US + day_starts * MINUTE_US
    return opens, opens + DAY_US


def _offset_us(zone: str, us: int) -> int:
    pieces = _pieces(zone, us // _WINDOW_US)
    for _, until, offset in pieces:
        if us < until:
            return offset
    return pieces[-1][2]


def _pieces_around(zone: str, earliest_local: int, latest_local: int) -> Iterator[Piece]:
    """The pieces in which those local times can occur, in order; the outermost reach beyond their window."""
    first = (earliest_local - _REACH_US) // _WINDOW_US
    last = (latest_local + _REACH_US) // _WINDOW_US
    for window in range(first, last + 1):
        yield from _pieces(zone, window)


@lru_cache(65_536)
def _pieces(zone: str, window: int) -> tuple[Piece, ...]:
    """The pieces of constant offset in one window of 64 days."""
    start, end = window * _WINDOW_US, (window + 1) * _WINDOW_US
    info = ZoneInfo(zone)
    changes: list[int] = []
    for probe in range(start, end, _PROBE_US):
        changes += _changes(info, probe, min(probe + _PROBE_US, end - SECOND_US))
    bounds = [start, *changes, end]
    return tuple((a, b, _probe(info, a)) for a, b in pairwise(bounds) if a < b)


def _changes(info: ZoneInfo, low: int, high: int) -> list[int]:
    """The instants in (low, high] at which the offset changes, to the second, by halving."""
    if _probe(info, low) == _probe(info, high):
        return []
    while high - low > SECOND_US:
        middle = (low + high) // 2 // SECOND_US * SECOND_US
        if _probe(info, middle) == _probe(info, low):
            low = middle
        else:
            high = middle
    return [high]


def _probe(info: ZoneInfo, us: int) -> int:
    try:
        at = _EPOCH + timedelta(microseconds=us)
    except OverflowError:  # before year 1 or after 9999: no zone says anything there
        return 0
    try:
        offset = at.astimezone(info).utcoffset()
    except OverflowError:
        return 0
    return 0 if offset is None else offset // timedelta(microseconds=1)
