"""A customer's past under one filter: its streaks, and on which days use was expected."""

import msgspec

from services.evaluator import days
from services.evaluator.calendar import opens_us
from services.evaluator.expectation import Expectation, expect, learned_closed
from services.evaluator.expected import expected_set, holidays_between, is_expected
from services.evaluator.rules import Settings
from services.evaluator.state import Segment


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

    def first_inactive(self, day: int) -> int:
        """The first day from `day` on that is not active."""
        ones = self.active >> (day - self.base)
        return day + ((ones + 1) & ~ones).bit_length() - 1

    def settings_on(self, day: int) -> Settings:
        """The settings by which a usage day is judged: the newest that held when the day opened."""
        segments = self.segments
        if len(segments) == 1:
            return segments[0].settings
        for segment in reversed(segments[1:]):
            settings = segment.settings
            if (
                segment.from_us is None
                or opens_us(settings.zone, settings.day_starts, day) >= segment.from_us
            ):
                return settings
        return segments[0].settings

    def may_be_expected(self, day: int) -> bool:
        """Whether the calendar expects use; what was learned may still say otherwise."""
        return (
            is_expected(self.settings_on(day), day) and day not in self.excused and day not in self.cut_short
        )

    def is_expected(self, day: int) -> bool:
        """Whether use was expected, as known on that day; never before the first use."""
        if not self.may_be_expected(day) or day <= self.base + days.lowest(self.active):
            return False
        return not self._learned(day) >> days.weekday(day) & 1

    def expectation(self, day: int) -> Expectation:
        """How surprising it is that the customer was not active on a day, from the days before it."""
        country = self.settings_on(day).holidays
        length = day - self.base + HOLIDAYS_AHEAD
        holidays = holidays_between(country, self.base, length) if country else 0
        return expect(self.active, self.base, day, holidays=holidays)

    def streak_ending(self, last: int, judged_on: int) -> Streak:
        """The streak that ends on the active day `last`, read with what is known on `judged_on`."""
        length = last - self.base + 1
        active = self.active & ((1 << length) - 1)
        expected = expected_set(
            self.settings_on(judged_on),
            base=self.base,
            length=length,
            learned=self._learned(judged_on),
            excused=self.excused,
            cut_short=self.cut_short,
        )
        holes = expected & ~active
        begin = days.highest(holes) + 1 if holes else 0
        run = active >> begin
        return Streak(run.bit_count(), self.base + begin + days.lowest(run), last)

    def streak_before(self, day: int) -> Streak:
        """The streak that ends on the last active day before `day`, as known on `day`."""
        last = days.highest_below(self.active, day - self.base)
        return NO_STREAK if last is None else self.streak_ending(self.base + last, day)

    def _learned(self, judged_on: int) -> int:
        """The weekdays learned as closed from the active days before the day judged."""
        if not self.settings_on(judged_on).learns:
            return 0
        return learned_closed(self.active, self.base, judged_on)


HOLIDAYS_AHEAD = 15
"""Public holidays up to two weeks after the day judged are known on it."""
