"""How a decision of the oracle becomes the trigger that is sent.

Readings where the pages leave it open:

- A retraction became true when it was decided, and repeats the cutoff of the stop it takes back.
- A resumption has the time of the use, or, where the hour of that day's first use is not at hand (it
  was read long before, or names its day alone), the opening of that day; so has a streak reached.
- The streak told with a stop and its reminders is the one before the episode; with a retraction, the
  one that ends on or before the stop's day, as now known; with a resumption, the one ending that day.
"""

from dataclasses import dataclass
from datetime import date

from shared.clock import rfc3339
from shared.events import Event
from shared.triggers import CustomerFacts, Reason, StreakFacts, Trigger, TriggerData, trigger_id
from tests.oracle.customer import Customer


def iso(day: int | None) -> str:
    return "" if day is None else date.fromordinal(day).isoformat()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The moment in the log at which something is decided, and the use that decided it, if one did."""

    at_us: int
    event: Event | None = None
    day: int | None = None

    @property
    def is_backfill(self) -> bool:
        return self.event is not None and self.event.backfill

    def in_time_for(self, cutoff_us: int) -> bool:
        """Whether the deciding use came before a cutoff of its day."""
        assert self.event is not None
        return self.event.occurred_us is None or self.event.occurred_us < cutoff_us

    def use_us(self, customer: Customer, day: int) -> int:
        """When the customer was there on `day`, as far as this moment knows."""
        if self.event is not None and self.day == day and self.event.occurred_us is not None:
            return self.event.occurred_us
        opens_us = customer.timeline.opens_us(day)
        return customer.timeline.cutoff_us(day, None) if opens_us is None else opens_us


def facts_of(customer: Customer) -> CustomerFacts:
    """Who it is about, by the newest profile; the product's zone where the customer names none."""
    profile = customer.profile
    return CustomerFacts(
        id=customer.id,
        name=profile.name,
        time_zone=profile.time_zone or customer.section.time_zone,
        csm=profile.csm,
        segment=profile.segment,
        phone=profile.phone,
        contact_window=profile.contact_window,
        mrr=profile.mrr,
        renewal_on=profile.renewal_on,
        properties=profile.properties,
    )


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What every trigger says."""

    customer: Customer
    rule: str
    type: str
    day: int
    at_us: int
    decided_us: int

    def id_of(self, type_: str, day: int | None, episode: int | None) -> str:
        """The id of a trigger of this customer and rule."""
        return trigger_id(
            product=self.customer.product_id,
            customer_id=self.customer.id,
            rule=self.rule,
            type=type_,
            day=iso(day),
            episode=iso(episode),
        )

    def told(
        self,
        *,
        id_day: int | None,
        id_episode: int | None,
        streak: StreakFacts,
        cutoff_us: int | None = None,
        episode_day: int | None = None,
        missed_days: int | None = None,
        stopped_id: str | None = None,
        surprise: float | None = None,
        reasons: tuple[Reason, ...] = (),
        count: int | None = None,
    ) -> Trigger:
        """The trigger, with what its type adds."""
        body = TriggerData(
            product=self.customer.product_id,
            rule=self.rule,
            day=date.fromordinal(self.day),
            decided_at=rfc3339(self.decided_us),
            cutoff_at=None if cutoff_us is None else rfc3339(cutoff_us),
            surprise=surprise,
            reasons=reasons,
            episode_day=episode_day,
            missed_days=missed_days,
            stopped_id=stopped_id,
            count=count,
            streak=streak,
            customer=facts_of(self.customer),
        )
        return Trigger(
            id=self.id_of(self.type, id_day, id_episode),
            type=self.type,
            timestamp=rfc3339(self.at_us),
            data=body,
        )
