"""The rule `count`: matching events, or active days, in the first days from an anchor.

Readings where the pages leave it open:

- The customer's first active day is that of any event; a window is usage days, expected or not.
- One of the two is told, once a customer: reached at the event that is the last one missing, or missed when
  the window has closed; nothing takes either back.
- A contract that becomes known after the events that reach its count is told at the next tick, of the last
  day counted.
- A window that had closed when its anchor became known is nobody's call. A late event that moves the first
  active day back makes the customer known no later; history does.
- Reached by history is told in silence.
- Of a rule added later, or that looks at other events than before, events are counted from the day after the
  last one with use; a window that began earlier is judged only if it is reached all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.config import CountRuleSection
from shared.triggers import StreakFacts, Trigger
from tests.oracle.absence_rule import MICROSECOND
from tests.oracle.customer import Customer
from tests.oracle.facts import Decision, Fact


@dataclass(kw_only=True)
class CountBook:
    """What is kept of one customer for one count; `used` are the days of any event."""

    name: str
    rule: CountRuleSection
    customer: Customer
    active: set[int]
    used: set[int]
    watched_from: int = 0
    day_of_event: dict[str, int] = field(default_factory=dict)
    anchor_on: int | None = None
    known_us: int = 0
    is_over: bool = False

    def meet(self, known_us: int) -> None:
        """Looks where the anchor is; another one than before moves the window."""
        anchor_on = self._anchor()
        if self.is_over or anchor_on == self.anchor_on:
            return
        self.anchor_on, self.known_us = anchor_on, known_us
        if anchor_on is not None and anchor_on < self.watched_from and self._count() < self.rule.at_least:
            self.is_over = True

    def edit(self, rule: CountRuleSection, watermark_us: int, *, looks_at_the_same: bool) -> None:
        """The rule was changed: what is reached by now, or has closed, is not told."""
        if not self.is_over:
            if not looks_at_the_same or rule.counting != self.rule.counting:
                self.day_of_event = {}
            self.rule, self.anchor_on = rule, None
            self.meet(watermark_us)
            if self.anchor_on is not None and self._count() >= rule.at_least:
                self.is_over = True
        self.rule = rule

    def settle(self, watermark_us: int) -> Iterator[Trigger]:
        """The window has closed short, or is known only now to have been reached."""
        if self.is_over or self.anchor_on is None:
            return
        is_reached = self._count() >= self.rule.at_least
        due_us = self.known_us if is_reached else self._closes_us() + self.rule.grace // MICROSECOND
        if due_us >= watermark_us:
            return
        self.is_over = True
        if self._closes_us() < self.known_us:
            return
        yield self._reached(Decision(at_us=watermark_us)) if is_reached else self._missed(watermark_us)

    def observe_first_use(self, decision: Decision) -> None:
        """The first active day may be another one now."""
        if self.rule.anchor == "first_active_on":
            is_known = self.anchor_on is not None and not decision.is_backfill
            self.meet(self.known_us if is_known else decision.at_us)

    def observe(self, decision: Decision, *, is_new: bool) -> Iterator[Trigger]:
        """A matching event; its day is among the active days now."""
        assert decision.event is not None
        assert decision.day is not None
        if self.is_over:
            return
        if self.rule.counting == "active_days" and not is_new:
            return
        self.day_of_event.setdefault(decision.event.event_id, decision.day)
        if self.anchor_on is None or decision.day not in self._window():
            return
        if self._count() >= self.rule.at_least:
            self.is_over = True
            if not decision.is_backfill:
                yield self._reached(decision)

    def _anchor(self) -> int | None:
        if self.rule.anchor == "first_active_on":
            return min(self.used, default=None)
        started_on = self.customer.profile.contract_started_on
        return None if started_on is None else started_on.toordinal()

    def _window(self) -> range:
        assert self.anchor_on is not None
        return range(self.anchor_on, self.anchor_on + self.rule.within_days)

    def _counted(self) -> list[int]:
        """The day of each counted one, in the order of days."""
        days = self.active if self.rule.counting == "active_days" else self.day_of_event.values()
        return sorted(day for day in days if day in self._window())

    def _count(self) -> int:
        return len(self._counted())

    def _closes_us(self) -> int:
        return self.customer.timeline.cutoff_us(self._window()[-1], None)

    def _reached(self, decision: Decision) -> Trigger:
        day = decision.day or self._counted()[-1]
        return self._fact(self.rule.emit, day, decision.use_us(self.customer, day), decision.at_us).told(
            id_day=None,
            id_episode=None,
            streak=self.customer.streak(day, judged_on=day, active=self.active),
            count=self.rule.at_least,
        )

    def _missed(self, watermark_us: int) -> Trigger:
        last = self._window()[-1]
        streak: StreakFacts = self.customer.streak_before(last + 1, active=self.active)
        return self._fact(f"{self.rule.emit}.missed", last, self._closes_us(), watermark_us).told(
            id_day=None, id_episode=None, streak=streak, count=self._count()
        )

    def _fact(self, kind: str, day: int, at_us: int, decided_us: int) -> Fact:
        return Fact(
            customer=self.customer, rule=self.name, type=kind, day=day, at_us=at_us, decided_us=decided_us
        )
