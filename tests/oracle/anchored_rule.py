"""The rule `absence` with an anchor: the first days of a contract passed without use.

Readings where the pages leave it open:

- The window is usage days, expected or not, and is judged at the cutoff of its last day.
- A window whose last cutoff had passed when the contract became known is nobody's call.
- The first use on a new day after it resumes, with the usage days from the contract's first day to the
  use, no more than the window; a use that was there in time takes the stop back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.config import AbsenceRuleSection
from shared.triggers import RESUMED, Trigger
from tests.oracle.absence_rule import MICROSECOND, minutes
from tests.oracle.customer import NO_STREAK, Customer
from tests.oracle.facts import Decision, Fact


@dataclass(kw_only=True)
class AnchoredBook:
    """What is kept of one customer for one rule with an anchor; `contract_on` since `known_us`."""

    name: str
    rule: AbsenceRuleSection
    customer: Customer
    active: set[int]
    contract_on: int | None = None
    known_us: int = 0
    stage: str = "waiting"
    told: tuple[int, str] | None = None

    def meet(self, known_us: int) -> None:
        """Looks at the profile's contract; another one than before is awaited anew."""
        started_on = self.customer.profile.contract_started_on
        contract_on = None if started_on is None else started_on.toordinal()
        if contract_on != self.contract_on:
            self.contract_on, self.known_us, self.stage = contract_on, known_us, "waiting"
            self.told = None

    def edit(self, rule: AbsenceRuleSection, active: set[int], watermark_us: int) -> None:
        """The rule was changed: a window that has closed by now is nobody's; what was told stays told."""
        self.rule, self.active = rule, active
        if self.stage == "waiting":
            self.known_us = max(self.known_us, watermark_us)

    def settle(self, watermark_us: int) -> Iterator[Trigger]:
        """Once the window has passed without use."""
        if self.contract_on is None or self.stage != "waiting":
            return
        last, cutoff_us = self._last_day(), self._cutoff_us()
        if cutoff_us + self.rule.grace // MICROSECOND >= watermark_us:
            return
        used = any(self.contract_on <= day for day in self.active)
        self.stage = "over" if used or cutoff_us < self.known_us else "told"
        if self.stage == "told":
            self.told = (last, self.rule.emit)
            yield self._fact(self.rule.emit, last, cutoff_us, watermark_us).told(
                id_day=last,
                id_episode=self.contract_on,
                streak=NO_STREAK,
                cutoff_us=cutoff_us,
                episode_day=1,
            )

    def observe(self, decision: Decision) -> Iterator[Trigger]:
        """A use: in the window and in time it takes back what was told, else it ends it."""
        assert decision.day is not None
        if self.contract_on is None or self.stage != "told" or decision.day < self.contract_on:
            return
        self.stage = "over"
        assert self.told is not None
        last, told_type = self.told
        if decision.day <= last and decision.in_time_for(self._cutoff_us()):
            fact = self._fact(f"{told_type}.retracted", last, decision.at_us, decision.at_us)
            yield fact.told(
                id_day=last,
                id_episode=self.contract_on,
                streak=self.customer.streak_before(last + 1, active=self.active),
                cutoff_us=self._cutoff_us(),
                stopped_id=fact.id_of(told_type, last, self.contract_on),
            )
            return
        used_us = decision.use_us(self.customer, decision.day)
        fact = self._fact(RESUMED, decision.day, used_us, decision.at_us)
        yield fact.told(
            id_day=last,
            id_episode=self.contract_on,
            streak=self.customer.streak(decision.day, judged_on=decision.day, active=self.active),
            missed_days=min(self.rule.within_days or 0, decision.day - self.contract_on),
            stopped_id=fact.id_of(told_type, last, self.contract_on),
        )

    def _last_day(self) -> int:
        assert self.contract_on is not None
        assert self.rule.within_days is not None
        if self.told is not None:
            return self.told[0]
        return self.contract_on + self.rule.within_days - 1

    def _cutoff_us(self) -> int:
        return self.customer.timeline.cutoff_us(self._last_day(), minutes(self.rule.cutoff))

    def _fact(self, kind: str, day: int, at_us: int, decided_us: int) -> Fact:
        return Fact(
            customer=self.customer, rule=self.name, type=kind, day=day, at_us=at_us, decided_us=decided_us
        )
