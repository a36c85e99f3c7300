"""The rule `decline`: at each day's end the last days against those before, counted one by one.

Readings where the pages leave it open:

- Days are counted that the calendar of the day judged expects, and active ones; what was learned of closed
  weekdays does not count here. Before the first use there are none.
- A customer with fewer of them than both spans is not judged, nor one never active in the span before.
- An episode lasts while the drop is there, day by day as each was judged; its end is not told.
- Days are judged from the first event *read*, each once. A late use changes what later days are judged by.
  History in a day judged already says in silence how things stood on the last one.
- Of a rule added or changed later, who is down already is in an episode that counts as told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from shared.config import DeclineRuleSection
from shared.triggers import Reason, Trigger
from tests.oracle.absence_rule import MICROSECOND
from tests.oracle.customer import Customer
from tests.oracle.facts import Decision, Fact


@dataclass(kw_only=True)
class DeclineBook:
    """What is kept of one customer for one decline."""

    name: str
    rule: DeclineRuleSection
    customer: Customer
    active: set[int]
    next_day: int | None = None
    told_from: int = 0
    is_down: bool = False

    def meet(self, watermark_us: int) -> None:
        """The rule is new: the stored days say how things stand."""
        if self.active:
            self.next_day = min(self.active)
            self.edit(self.rule, watermark_us)

    def edit(self, rule: DeclineRuleSection, watermark_us: int) -> None:
        """The rule was changed: days gone by are not told."""
        self.rule = rule
        if self.next_day is None:
            return
        while self._is_due(watermark_us):
            self.next_day += 1
        self.told_from = self.next_day
        self.is_down = self.is_down or self._falls(self.next_day - 1)

    def settle(self, watermark_us: int) -> Iterator[Trigger]:
        """Day by day in order, each day once."""
        while self.next_day is not None and self._is_due(watermark_us):
            day, self.next_day = self.next_day, self.next_day + 1
            was_down, self.is_down = self.is_down, self._falls(day)
            if self.is_down and not was_down and day >= self.told_from:
                yield self._declined(day, watermark_us)

    def observe(self, decision: Decision) -> None:
        """A use on a day that was not active before, and is now."""
        day = decision.day
        assert day is not None
        if self.next_day is None:
            self.next_day = self.told_from = day
            if decision.is_backfill:
                self.told_from = self.customer.timeline.day_of(decision.at_us) - 3
                while self._closes_us(self.told_from) < decision.at_us:
                    self.told_from += 1
        elif decision.is_backfill and day < self.next_day:
            self.told_from = max(self.told_from, self.next_day)
            self.is_down = self._falls(self.next_day - 1)

    def _is_due(self, watermark_us: int) -> bool:
        assert self.next_day is not None
        return self._closes_us(self.next_day) + self.rule.grace // MICROSECOND < watermark_us

    def _closes_us(self, day: int) -> int:
        return self.customer.timeline.cutoff_us(day, None)

    def _spans(self, day: int) -> tuple[list[int], list[int]]:
        """The last days and those before them, as known at the end of a day."""
        calendar = self.customer.calendar_on(day)
        known = range(min(self.active), day + 1)
        counted = [d for d in known if d in self.active or self.customer.open_by(calendar, d)]
        recent, before = counted[-self.rule.recent_days :], counted[: -self.rule.recent_days]
        return recent, before[-self.rule.baseline_days :]

    def _falls(self, day: int) -> bool:
        recent, before = self._spans(day)
        if len(recent) < self.rule.recent_days or len(before) < self.rule.baseline_days:
            return False
        now = Fraction(len(self.active & set(recent)), len(recent))
        mean = Fraction(len(self.active & set(before)), len(before))
        return mean > 0 and now <= (1 - Fraction(str(self.rule.drop))) * mean

    def _declined(self, day: int, watermark_us: int) -> Trigger:
        recent, before = self._spans(day)
        active = len(self.active & set(recent))
        values = {
            "active": active,
            "days": len(recent),
            "active_before": len(self.active & set(before)),
            "days_before": len(before),
        }
        fact = Fact(
            customer=self.customer,
            rule=self.name,
            type=self.rule.emit,
            day=day,
            at_us=self._closes_us(day),
            decided_us=watermark_us,
        )
        return fact.told(
            id_day=None,
            id_episode=day,
            streak=self.customer.streak_before(day + 1, active=self.active),
            count=active,
            reasons=(Reason(code="decline", values=values),),
        )
