"""A customer's whole history under one filter, read at once: what was used, expected and closed."""

from collections.abc import Mapping

import msgspec

from services.evaluator.core import days
from services.evaluator.core.closings import Closings, closings
from services.evaluator.core.past import Past

Reads = Mapping[int, int | None]
"""The first use read on each usage day: its instant, or None where the day alone is known."""


class History(msgspec.Struct, frozen=True):
    """`past` is as at the end of `last_on`, under settings that never changed."""

    past: Past
    reads: Reads
    last_on: int
    length: int  # of days, from the past's base to the last one
    learned: Closings

    def read_us(self, day: int) -> int:
        """When the first use of a day is read; one known by its day alone when that day opens."""
        occurred_us = self.reads[day]
        return self.past.opens_us(day) if occurred_us is None else occurred_us

    def expected_among(self, asked: int) -> int:
        """Those of a set of days on which use was expected, each as known on that day."""
        past = self.past
        asked &= past.calendar_days(self.length) & ~((2 << days.lowest(past.active)) - 1)
        found = asked & self.learned.told & ~self.learned.closed[0]
        for bit in days.each(asked & ~self.learned.told):
            if past.is_expected(past.base + bit):
                found |= 1 << bit
        return found


def read_whole(past: Past, reads: Reads, *, last_on: int) -> History:
    """A history up to `last_on`; where nothing is to be learned, no weekday is closed."""
    length = last_on - past.base + 1
    if past.learns and past.active:
        learned = closings(past.active, length)
    else:
        learned = Closings(past.active and days.span(0, length - 1), (0,) * days.WEEK)
    return History(past, reads, last_on, length, learned)
