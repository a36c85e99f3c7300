"""What is known of a customer and on which days its use is expected, kept as sets and lists of changes.

Readings where the pages leave it open:

- Before a customer's first use, and by a backfilled profile, settings hold as if they always had; a
  change is what comes after the first use.
- A second change on the same usage day replaces the first, which has not taken effect yet.
- A calendar in force from the end of usage day c is the calendar of the days after c; a streak is read
  with the calendar of the day on which it is judged, over its whole length.
- Closures of product and customer hold both; every other part of the calendar is the product's unless
  the customer names it.
- A profile that is to be merged replaces, field by field, what it names; its calendar is one field.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Protocol

import holidays

from shared.config import ProductSection
from shared.events import Calendar, Profile
from shared.triggers import Reason, StreakFacts
from tests.oracle.calendar import Settings, Timeline


class Judgement(Protocol):
    """What is read from a customer's own past; tuned on real data, so the oracle takes it as given."""

    def learned(self, active: Collection[int], day: int) -> frozenset[int]:
        """The weekdays (0 = Monday) held to be closed, from the active days before `day`."""
        ...

    def weigh(self, active: Collection[int], missed: Sequence["MissedDay"]) -> "Weighed":
        """How surprising these missed days are together."""
        ...


@dataclass(frozen=True, kw_only=True)
class MissedDay:
    """A missed day with the country of holidays and the zone that were in force on it."""

    day: int
    holidays: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """`surprise` of missed days together (None: not weighed), what is `enough`, reasons of the last one."""

    surprise: float | None = None
    enough: float = 0.0
    reasons: tuple[Reason, ...] = ()


class Literal:
    """The calendar is read literally: nothing is learned, and every miss counts."""

    def learned(self, active: Collection[int], day: int) -> frozenset[int]:
        return frozenset()

    def weigh(self, active: Collection[int], missed: Sequence[MissedDay]) -> Weighed:
        return Weighed()


@cache
def _holidays_of(country: str, year: int) -> frozenset[date]:
    name, _, subdivision = country.partition("-")
    return frozenset(holidays.country_holidays(name, subdiv=subdivision or None, years=[year]))


def merged(old: Profile, new: Profile) -> Profile:
    """`old` with everything that `new` tells."""
    named = {f: getattr(new, f) for f in new.__struct_fields__ if getattr(new, f) != getattr(Profile(), f)}
    fields = {f: getattr(old, f) for f in old.__struct_fields__}
    return Profile(**{**fields, **named, "properties": {**old.properties, **new.properties}})


def calendar_of(section: ProductSection, profile: Profile) -> Calendar:
    """The product's calendar with the customer's own settings laid over it."""
    ours, own = section.calendar, profile.calendar
    return Calendar(
        closed_weekdays=ours.closed_weekdays if own.closed_weekdays is None else own.closed_weekdays,
        holidays=ours.holidays if own.holidays is None else own.holidays,
        closures=(*ours.closures, *own.closures),
        pause=own.pause,
        learn_closed_weekdays=(
            ours.learn_closed_weekdays if own.learn_closed_weekdays is None else own.learn_closed_weekdays
        ),
    )


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def closed_by(calendar: Calendar, day: int) -> bool:
    """Whether the calendar itself says that no use is expected on the day."""
    on = date.fromordinal(day)
    if on.weekday() in (calendar.closed_weekdays or ()):
        return True
    if calendar.holidays and on in _holidays_of(calendar.holidays, on.year):
        return True
    if any(first <= on <= last for first, last in calendar.closures):
        return True
    if calendar.pause is None:
        return False
    first, until = calendar.pause
    return first <= on and (until is None or on <= until)


@dataclass(kw_only=True)
class Customer:
    """One customer's profile, its days under each zone it had, and the calendar of each day."""

    product_id: str
    id: str
    section: ProductSection
    excused: set[int]
    judgement: Judgement
    profile: Profile = field(default_factory=Profile)
    timeline: Timeline = field(init=False)
    calendars: list[tuple[int, Calendar, str]] = field(init=False)

    def __post_init__(self) -> None:
        zone, day_starts = self._place()
        self.timeline = Timeline((Settings(zone=zone, day_starts=day_starts),))
        self.calendars = [(0, calendar_of(self.section, self.profile), zone)]

    def correct(self, profile: Profile) -> None:
        """A new profile whose settings hold as if they always had."""
        self.profile = profile
        self.__post_init__()

    def change(self, profile: Profile, received_us: int) -> None:
        """A new profile: settings that differ hold after the usage day in which it was received."""
        self.profile = profile
        zone, day_starts = self._place()
        calendar = calendar_of(self.section, profile)
        latest = self.timeline.settings[-1]
        if (zone, day_starts) == (latest.zone, latest.day_starts) and calendar == self.calendars[-1][1]:
            return
        in_force = tuple(s for s in self.timeline.settings if s.from_us is None or s.from_us <= received_us)
        day = Timeline(in_force).day_of(received_us)
        closes_us = Timeline(in_force).closes_us(day)
        self.timeline = self.timeline.after(Settings(zone=zone, day_starts=day_starts, from_us=closes_us))
        kept = [known for known in self.calendars if known[0] <= day]
        self.calendars = [*kept, (day + 1, calendar, zone)]

    def expected(self, day: int, *, judged_on: int, active: Collection[int]) -> bool:
        """Whether use is expected on `day`, by what is known on the day `judged_on`."""
        calendar = self.calendar_on(judged_on)
        if not self.open_by(calendar, day):
            return False
        if not calendar.learn_closed_weekdays:
            return True
        learned = self.judgement.learned([a for a in active if a < judged_on], judged_on)
        return date.fromordinal(day).weekday() not in learned

    def open_by(self, calendar: Calendar, day: int) -> bool:
        """Whether use is expected as far as calendars go, without what was learned."""
        if closed_by(calendar, day) or day in self.excused:
            return False
        return self.timeline.has_length(day) and not self.timeline.cut_short_at_start(day)

    def missed(self, day: int) -> MissedDay:
        """A missed day as it is weighed."""
        zone = [zone for first, _, zone in self.calendars if first <= day][-1]
        return MissedDay(day=day, holidays=self.calendar_on(day).holidays or "", zone=zone)

    def streak(self, last: int, *, judged_on: int, active: Collection[int]) -> StreakFacts:
        """The streak ending on the active day `last`: back from it every expected day is active."""
        days = set(active)
        streak = []
        for day in range(last, min(days) - 1, -1):
            if day in days:
                streak.append(day)
            elif self.expected(day, judged_on=judged_on, active=days):
                break
        return StreakFacts(
            length=len(streak),
            calendar_days=last - streak[-1] + 1,
            started_on=date.fromordinal(streak[-1]),
            last_active_on=date.fromordinal(last),
        )

    def streak_before(self, day: int, *, active: Collection[int]) -> StreakFacts:
        """The streak that ends on the last active day before `day`, read as known on `day`."""
        before = [a for a in active if a < day]
        if not before:
            return NO_STREAK
        return self.streak(max(before), judged_on=day, active=active)

    def _place(self) -> tuple[str, int]:
        zone = self.profile.time_zone or self.section.time_zone
        if self.profile.day_starts_at is not None:
            return zone, _minutes(self.profile.day_starts_at)
        return zone, self.section.day_starts_at.hour * 60 + self.section.day_starts_at.minute

    def calendar_on(self, day: int) -> Calendar:
        """The calendar in force on a usage day."""
        return [calendar for first, calendar, _ in self.calendars if first <= day][-1]


NO_STREAK = StreakFacts(length=0, calendar_days=0, started_on=None, last_active_on=None)
