"""The rule `streak`: told when a new active day makes a streak long enough that was not told before.

Readings where the pages leave it open:

- The streak is told as it is read in order: `day` is the day on which it first was long enough, with
  the streak up to that day, though a late event on an earlier day may have decided it.
- A streak counts as told if a told day lies in it, however far it goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.config import StreakRuleSection
from shared.triggers import StreakFacts, Trigger
from tests.oracle.customer import Customer
from tests.oracle.facts import Decision, Fact


@dataclass(kw_only=True)
class StreakBook:
    """What is kept of one customer for one streak rule: the days on which it was told, also in silence."""

    name: str
    rule: StreakRuleSection
    customer: Customer
    active: set[int]
    told_on: list[int] = field(default_factory=list)

    def meet(self, watermark_us: int) -> None:
        """The rule is new: what the stored days reached counts as told."""
        for day in sorted(self.active):
            streak = self._streak_to(day)
            if self._is_reached(streak) and not self._is_told(streak):
                self.told_on.append(day)

    def edit(self, rule: StreakRuleSection, active: set[int], watermark_us: int) -> None:
        """The rule was changed: what the stored days reach by now counts as told, as what was told does."""
        self.rule, self.active = rule, active
        if rule.repeat:
            self.told_on = [day for day in self.told_on if day in active]
        self.meet(watermark_us)

    def observe(self, decision: Decision, *, is_new: bool) -> Iterator[Trigger]:
        """A use on `decision.day`, which is among the active days now."""
        assert decision.day is not None
        reached = self._first_reached(decision.day) if is_new else None
        if reached is None or reached.last_active_on is None or self._is_told(reached):
            return
        day = reached.last_active_on.toordinal()
        self.told_on.append(day)
        if decision.is_backfill:
            return
        fact = Fact(
            customer=self.customer,
            rule=self.name,
            type=self.rule.emit,
            day=day,
            at_us=decision.use_us(self.customer, day),
            decided_us=decision.at_us,
        )
        yield fact.told(id_day=day if self.rule.repeat else None, id_episode=None, streak=reached)

    def _first_reached(self, day: int) -> StreakFacts | None:
        """The streak that holds `day`, read in order to the first day on which it is long enough."""
        for last in sorted(active for active in self.active if active >= day):
            streak = self._streak_to(last)
            if _first_day(streak) > day:
                return None
            if self._is_reached(streak):
                return streak
        return None

    def _streak_to(self, day: int) -> StreakFacts:
        return self.customer.streak(day, judged_on=day, active=self.active)

    def _is_reached(self, streak: StreakFacts) -> bool:
        counted = streak.length if self.rule.counting == "active_days" else streak.calendar_days
        return counted >= self.rule.days

    def _is_told(self, streak: StreakFacts) -> bool:
        if not self.rule.repeat:
            return bool(self.told_on)
        assert streak.last_active_on is not None
        first, last = _first_day(streak), streak.last_active_on.toordinal()
        return any(
            first <= told <= last if told <= last else _first_day(self._streak_to(told)) <= last
            for told in self.told_on
        )


def _first_day(streak: StreakFacts) -> int:
    assert streak.started_on is not None
    return streak.started_on.toordinal()
