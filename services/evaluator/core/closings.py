"""Learned closed weekdays: those on which a customer has hardly ever been active lately, read from its days.

A weekday is closed when a usual one of the same customer is used at least four times as often, judged on
the shortest of three windows that shows three uses of a usual weekday. It is held against the mean of the
other six: a silent week counts for none of them, so that a customer back from a long silence still has its
weekdays, and one that comes monthly has none closed.
"""

from typing import Final

import msgspec

from services.evaluator.core.days import WEEK, every_week, window

USES_MIN: Final = 6 * 3
"""Three uses of a usual weekday show as so many of all: fewer tell nothing."""

_SHARE: Final = 6 * 4 + 1  # of all uses, for a weekday used a quarter as often as the mean of the others
_WEEKS: Final = (8, 26, 53)
_WEEKDAYS: Final = tuple(
    (WEEK * weeks, tuple([(1 << offset, every_week(weeks) << offset) for offset in range(WEEK)]))
    for weeks in _WEEKS
)
"""The width of each window, and the bit of each weekday with its days there."""


def learned_closed(active: int, base: int, day: int) -> int:
    """The weekdays (bit 0 is Monday) closed on `day`, as the active days before it show."""
    offset = day - base
    if offset <= 0:
        return 0
    return _from_monday(closed_offsets(active & ((1 << offset) - 1), offset), day)


def _from_monday(closed: int, day: int) -> int:
    """Weekdays counted from that of a day, counted from Monday."""
    weekday = (day + 6) % 7
    return (closed << weekday | closed >> (7 - weekday)) & 0b1111111


def closed_offsets(past: int, offset: int) -> int:
    """Closed weekdays as bits counted from the weekday of the day at `offset`."""
    for width, weekdays in _WEEKDAYS:
        latest = window(past, offset, width)
        total = latest.bit_count()
        if total >= USES_MIN:
            most = total // _SHARE
            return sum([bit for bit, days in weekdays if (latest & days).bit_count() <= most])
    return 0


class Closings(msgspec.Struct, frozen=True):
    """The closed weekdays of all days of a history at once, as far as eight weeks tell; sets of its days.

    `told`: the days whose eight weeks show enough uses. `closed[n]`: the days on which the weekday of n days
    later is closed; `closed[0]` are the days that are closed themselves.
    """

    told: int
    closed: tuple[int, ...]

    def weekdays_on(self, day: int, base: int) -> int:
        """The weekdays closed on one of the days told: what `learned_closed` says of it."""
        offset = day - base
        closed = sum([1 << n for n, days in enumerate(self.closed) if days >> offset & 1])
        return _from_monday(closed, day)


def closings(active: int, length: int) -> Closings:
    """What `closed_offsets` says of each of the first `length` days, counted with a byte a day.

    Multiplied by a byte of 1 at each of the eight weeks (or 56 days) before, every day's byte becomes its
    count, and one subtraction compares them all. A count is 56 at the most, so no byte ever carries.
    """
    used = _bytes_of(active)
    full = (1 << 8 * length) - 1
    tops = full // 0xFF * 0x80
    totals = (used * _DAYS_BEFORE & full).to_bytes(length, "little")
    told = _set_of(totals.translate(_IS_TOLD))
    most = int.from_bytes(totals.translate(_MOST), "little") | tops
    of_weekday = used * _WEEKS_BEFORE
    few = [(most - (of_weekday >> 8 * n & full) & tops).to_bytes(length, "little") for n in range(WEEK)]
    return Closings(told, tuple([told & _set_of(lanes) for lanes in few]))


_DAYS_BEFORE: Final = sum(1 << 8 * n for n in range(1, WEEK * _WEEKS[0] + 1))
_WEEKS_BEFORE: Final = sum(1 << 8 * WEEK * n for n in range(1, _WEEKS[0] + 1))
_IS_TOLD: Final = bytes(0x80 * (total >= USES_MIN) for total in range(256))
_MOST: Final = bytes(total // _SHARE for total in range(256))
_TO_BYTE: Final = bytes.maketrans(b"01", b"\x00\x01")
_TO_DIGIT: Final = bytes.maketrans(b"\x00\x80", b"01")


def _bytes_of(days: int) -> int:
    """A set as a number with a byte a day."""
    return int.from_bytes(f"{days:b}".encode().translate(_TO_BYTE), "big")


def _set_of(lanes: bytes) -> int:
    """The set of the days whose byte has its top bit."""
    return int(lanes[::-1].translate(_TO_DIGIT), 2)
