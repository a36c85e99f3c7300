"""Sets of days as integers: bit i of a set stands for the day `base + i`.

A year of days is some fifty bytes, a union or a count is one machine-speed operation, and a set
does not care how often or in which order a day was added.
"""

from collections.abc import Iterator, Sequence

WEEK = 7
_WEEKS_MAX = 600  # some eleven years; longer spans are tiled anew


def span(first: int, last: int) -> int:
    """The set of bits first..last, both included; empty when last < first."""
    return ((1 << (last - first + 1)) - 1) << first if last >= first else 0


def every_week(weeks: int) -> int:
    """The first day and that of each of the following weeks."""
    return sum(1 << (WEEK * week) for week in range(weeks))


def window(days: int, bit: int, width: int) -> int:
    """The `width` days before `bit`, the last of them the highest bit."""
    return (days >> (bit - width) if bit >= width else days << (width - bit)) & ((1 << width) - 1)


def highest(days: int) -> int:
    """The largest bit of a set that is not empty."""
    return days.bit_length() - 1


def lowest(days: int) -> int:
    """The smallest bit of a set that is not empty."""
    return (days & -days).bit_length() - 1


def lowest_from(days: int, bit: int) -> int | None:
    """The smallest bit >= `bit`, or None."""
    rest = days >> bit
    return lowest(rest) + bit if rest else None


_EVERY_WEEK = every_week(_WEEKS_MAX)


def highest_below(days: int, bit: int) -> int | None:
    """The largest bit < `bit`, or None."""
    rest = days & ((1 << bit) - 1) if bit > 0 else 0
    return highest(rest) if rest else None


def begin_of_last(days: int, count: int) -> int:
    """The smallest bit of the `count` highest ones of a set, which has that many."""
    begin = days.bit_length() - count
    while lack := count - (days >> begin).bit_count():
        begin -= lack
    return begin


def smeared(days: int, count: int) -> int:
    """Each day of a set with those after it, `count` days in all."""
    reached = 1
    while reached < count:
        step = min(reached, count - reached)
        days |= days << step
        reached += step
    return days


def set_of(ordinals: Sequence[int], base: int) -> int:
    """The set of some days, none of them before `base`.

    Written down as digits first: a set that grows by a bit at a time is copied each time.
    """
    last = max(ordinals, default=base)
    digits = bytearray(b"0") * (last - base + 1)
    for day in ordinals:
        digits[last - day] = _ONE
    return int(digits, 2)


_ONE = ord("1")


def firsts(found: int, used: int) -> int:
    """Those of `found` that are the first ones since a bit of `used` before them.

    A bit that is in both belongs to what lies before it. From each bit found an addition carries through the
    unused ones above it, so that all but the first of a gap are known at once, however many gaps there are.
    """
    unused = ((1 << max(found.bit_length(), used.bit_length())) - 1) & ~used
    seeds = found & unused
    since = ((unused + seeds) ^ unused | seeds) & unused
    return (since | found) & ~(since << 1)


def each(days: int) -> Iterator[int]:
    """The bits of a set in rising order."""
    while days:
        low = days & -days
        yield low.bit_length() - 1
        days ^= low


def weekday(day: int) -> int:
    """0 = Monday .. 6 = Sunday (1 January of year 1 was a Monday)."""
    return (day - 1) % WEEK


def weekdays(mask: int, base: int, length: int) -> int:
    """The days base .. base+length-1 that fall on the weekdays of `mask` (bit 0 = Monday)."""
    if not mask or length <= 0:
        return 0
    turn = weekday(base)
    turned = ((mask >> turn) | (mask << (WEEK - turn))) & 0x7F
    weeks = -(-length // WEEK)
    tiled = _EVERY_WEEK & ((1 << (weeks * WEEK)) - 1) if weeks <= _WEEKS_MAX else every_week(weeks)
    return (turned * tiled) & ((1 << length) - 1)


def to_bytes(days: int) -> bytes:
    return days.to_bytes((days.bit_length() + 7) // 8, "little")


def from_bytes(value: bytes) -> int:
    return int.from_bytes(value, "little")
