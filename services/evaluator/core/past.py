"""A customer's past under one filter: its streaks, and on which days use was expected."""

from functools import lru_cache

import msgspec

from services.evaluator.core import days
from services.evaluator.core.calendar import closes_us, cutoff_us, opens_us
from services.evaluator.core.closings import learned_closed
from services.evaluator.core.countries import country_of_zone
from services.evaluator.core.expectation import Expectation, expect
from services.evaluator.core.expected import calendar_days, days_of_rest, is_expected
from services.evaluator.core.rules import Settings
from services.evaluator.core.state import CustomerState, Segment

NONE_EXCUSED: frozenset[int] = frozenset()

AHEAD_DAYS = 3
"""How far beyond the day judged its public holidays are looked at, itself included."""


class Streak(msgspec.Struct, frozen=True):
    """`length` active days from `started_on` to `last_on`; all zero where there is none."""

    length: int = 0
    started_on: int = 0
    last_on: int = 0

    @property
    def calendar_days(self) -> int:
        return self.last_on - self.started_on + 1 if self.length else 0


NO_STREAK = Streak()


class Past(msgspec.Struct, frozen=True):
    """What is known of the days of one customer and filter; bit 0 of `active` is the day `base`."""

    base: int
    active: int
    segments: tuple[Segment, ...]
    cut_short: tuple[int, ...]
    excused: frozenset[int]

    def is_active(self, day: int) -> bool:
        return day >= self.base and bool(self.active >> (day - self.base) & 1)

    def is_used(self, first: int, last: int) -> bool:
        """Whether some day first..last is active."""
        return last >= self.base and bool(
            self.active
            & days.span(max(first - self.base, 0), min(last - self.base, self.active.bit_length()))
        )

    def active_count(self, first: int, last: int) -> int:
        """How many of the days first..last are active."""
        if last < self.base:
            return 0
        return (self.active & days.span(max(first - self.base, 0), last - self.base)).bit_count()

    def open_days(self, last: int) -> int:
        """The days from the first use to `last` that are active, or that the calendar of `last` expects."""
        length = last - self.base + 1
        expected = calendar_days(self.settings_on(last), self.base, length)
        found = self._without_exceptions(expected, last) | self.active & ((1 << length) - 1)
        first = days.lowest(self.active)
        return found >> first << first

    def first_inactive(self, day: int) -> int:
        """The first day from `day` on that is not active."""
        ones = self.active >> (day - self.base)
        return day + ((ones + 1) & ~ones).bit_length() - 1

    def settings_on(self, day: int) -> Settings:
        """The settings whose calendar holds on a usage day."""
        segments = self.segments
        if len(segments) == 1:
            return segments[0].settings
        return next((s.settings for s in reversed(segments) if s.from_day <= day), segments[0].settings)

    def opens_us(self, day: int) -> int:
        """The first instant of a usage day; for a day that a change skipped, when it would have opened."""
        segments = self.segments
        if len(segments) == 1:
            settings = segments[0].settings
            return opens_us(settings.zone, settings.day_starts, day)
        for segment, until_us in self._in_force():
            opens = opens_us(segment.settings.zone, segment.settings.day_starts, day)
            closes = closes_us(segment.settings.zone, segment.settings.day_starts, day)
            first = opens if segment.from_us is None else max(opens, segment.from_us)
            if first < (closes if until_us is None else min(closes, until_us)):
                return first
        settings = self.settings_on(day)
        return opens_us(settings.zone, settings.day_starts, day)

    def cutoff_us(self, day: int, cutoff: int | None) -> int:
        """When a usage day's cutoff has come; without one, when the last instant of the day has passed."""
        segments = self.segments
        if len(segments) == 1:
            settings = segments[0].settings
            return cutoff_us(settings.zone, settings.day_starts, day, cutoff)
        if cutoff is None:
            return self._closes_us(day)
        for segment, until_us in self._in_force():
            reached = cutoff_us(segment.settings.zone, segment.settings.day_starts, day, cutoff)
            if segment.from_us is not None:
                reached = max(reached, segment.from_us)
            if until_us is None or reached < until_us:
                return reached
        raise AssertionError("the last settings have no end")

    def _closes_us(self, day: int) -> int:
        """The end of a day; a move to the west prolongs it, for its date comes back in the new zone."""
        for segment, until_us in reversed(self._in_force()):
            opens = opens_us(segment.settings.zone, segment.settings.day_starts, day)
            closes = closes_us(segment.settings.zone, segment.settings.day_starts, day)
            ends = closes if until_us is None else min(closes, until_us)
            if (opens if segment.from_us is None else max(opens, segment.from_us)) < ends:
                return ends
        settings = self.settings_on(day)
        return closes_us(settings.zone, settings.day_starts, day)

    def _in_force(self) -> list[tuple[Segment, int | None]]:
        """Each segment with the instant at which the next one takes over."""
        ends = [segment.from_us for segment in self.segments[1:]]
        return list(zip(self.segments, [*ends, None], strict=True))

    def may_be_expected(self, day: int) -> bool:
        """Whether the calendar expects use; what was learned may still say otherwise."""
        return (
            is_expected(self.settings_on(day), day) and day not in self.excused and day not in self.cut_short
        )

    @property
    def learns(self) -> bool:
        """Whether closed weekdays are learned, by the latest settings."""
        return self.segments[-1].settings.learns

    def calendar_days(self, length: int) -> int:
        """The first `length` days that the calendar expects, by the latest settings."""
        found = calendar_days(self.segments[-1].settings, self.base, length)
        return self._without_exceptions(found, self.base + length - 1)

    def _without_exceptions(self, found: int, last: int) -> int:
        """A set of days up to `last` without those excused or cut short."""
        for day in (*self.excused, *self.cut_short):
            if self.base <= day <= last:
                found &= ~(1 << (day - self.base))
        return found

    def is_expected(self, day: int) -> bool:
        """Whether use was expected, as known on that day; never before the first use."""
        if not self.may_be_expected(day) or day <= self.base + days.lowest(self.active):
            return False
        return not self.learned(day) >> days.weekday(day) & 1

    def expectation(self, day: int) -> Expectation:
        """How surprising it is that the customer was not active on a day, from the days before it."""
        before = self.active & ((1 << (day - self.base)) - 1)
        settings = self.settings_on(day)
        country = settings.holidays or country_of_zone(settings.zone)
        return _expectation(before, self.base, day, country)

    def streak_ending(self, last: int, judged_on: int) -> Streak:
        """The streak that ends on the active day `last`, read with what is known on `judged_on`."""
        length = last - self.base + 1
        active = self.active & ((1 << length) - 1)
        expected = calendar_days(self.settings_on(judged_on), self.base, length)
        holes = expected & ~active
        if holes:
            holes &= ~days.weekdays(self.learned(judged_on), self.base, length)
        return streak_of(active, self._without_exceptions(holes, last), self.base, last)

    def streak_before(self, day: int) -> Streak:
        """The streak that ends on the last active day before `day`, as known on `day`."""
        last = days.highest_below(self.active, day - self.base)
        return NO_STREAK if last is None else self.streak_ending(self.base + last, day)

    def learned(self, judged_on: int) -> int:
        """The weekdays learned as closed from the active days before the day judged."""
        if not self.settings_on(judged_on).learns:
            return 0
        return learned_closed(self.active, self.base, judged_on)


def streak_of(active: int, holes: int, base: int, last: int) -> Streak:
    """The active days after the last one of `holes`, up to the active day `last`."""
    begin = holes.bit_length()
    run = (active & ((2 << last - base) - 1)) >> begin
    return Streak(run.bit_count(), base + begin + (run & -run).bit_length() - 1, last)


def past_of(state: CustomerState, filter_key: str, excused: frozenset[int]) -> Past:
    """A customer's past under one filter."""
    return Past(state.base, state.active.get(filter_key, 0), state.segments, state.cut_short, excused)


def past_until(past: Past, day: int) -> Past:
    """The past as it was when a day was the last one."""
    active = past.active & ((1 << max(day - past.base + 1, 0)) - 1)
    return Past(past.base, active, past.segments, past.cut_short, past.excused)


@lru_cache(64)  # one judgement asks for a day several times; more would only cost memory
def _expectation(active: int, base: int, day: int, country: str) -> Expectation:
    holidays, breaks = days_of_rest(country, base, day - base + AHEAD_DAYS)
    return expect(active, base, day, holidays=holidays, breaks=breaks)
