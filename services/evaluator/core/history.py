"""A customer's whole history under one filter, read at once: what was used, expected and closed."""

from collections.abc import Mapping

import msgspec

from services.evaluator.core import days
from services.evaluator.core.closings import Closings, closings, learned_closed
from services.evaluator.core.countries import country_of_zone
from services.evaluator.core.expectation import Expectation, expect
from services.evaluator.core.expected import days_of_rest
from services.evaluator.core.past import AHEAD_DAYS, Past, Streak, streak_of


class WholePast(Past, frozen=True):
    """A past that is complete, under settings that never changed: what is asked of every day is found once.

    Sets of the days up to the last one: `holes`, expected by the calendar and not used; the `holidays` and
    `breaks` of the customer's country.
    """

    holes: int
    holidays: int
    breaks: int
    closings: Closings | None
    """None where nothing is to be learned."""

    def streak_ending(self, last: int, judged_on: int) -> Streak:
        holes = self.holes & ((2 << last - self.base) - 1)
        if holes and self.closings is not None:
            holes &= ~days.weekdays(self.learned(judged_on), self.base, holes.bit_length())
        return streak_of(self.active, holes, self.base, last)

    def expectation(self, day: int) -> Expectation:
        return expect(self.active, self.base, day, holidays=self.holidays, breaks=self.breaks)

    def learned(self, judged_on: int) -> int:
        if self.closings is None:
            return 0
        if self.closings.told >> judged_on - self.base & 1:
            return self.closings.weekdays_on(judged_on, self.base)
        return learned_closed(self.active, self.base, judged_on)


class History(msgspec.Struct, frozen=True):
    """`past` is as at the end of `last_on`. `instants`: the first use of each usage day; a day that is not
    among them has a use of which the day alone is known, and counts as used from when it opens.
    """

    past: WholePast
    instants: Mapping[int, int]
    last_on: int
    length: int  # of days, from the past's base to the last one

    def read_us(self, day: int) -> int:
        """When the first use of a day is read."""
        occurred_us = self.instants.get(day)
        return self.past.opens_us(day) if occurred_us is None else occurred_us

    def expected_among(self, asked: int) -> int:
        """Those of a set of days on which use was expected, each as known on that day."""
        past = self.past
        asked &= past.calendar_days(self.length) & ~((2 << days.lowest(past.active)) - 1)
        if past.closings is None:
            return asked
        told = past.closings.told
        found = asked & told & ~past.closings.closed[0]
        for bit in days.each(asked & ~told):
            if past.is_expected(past.base + bit):
                found |= 1 << bit
        return found


def read_whole(past: Past, instants: Mapping[int, int], *, last_on: int) -> History:
    """A history up to `last_on`."""
    length = last_on - past.base + 1
    settings = past.segments[-1].settings
    country = settings.holidays or country_of_zone(settings.zone)
    holidays, breaks = days_of_rest(country, past.base, length + AHEAD_DAYS)
    whole = WholePast(
        past.base,
        past.active,
        past.segments,
        past.cut_short,
        past.excused,
        past.calendar_days(length) & ~past.active,
        holidays,
        breaks,
        closings(past.active, length) if past.learns and past.active else None,
    )
    return History(whole, instants, last_on, length)
