"""How a decision of the oracle becomes the trigger that is sent."""

from dataclasses import dataclass
from datetime import date

from shared.clock import rfc3339
from shared.triggers import CustomerFacts, Reason, StreakFacts, Trigger, TriggerData, trigger_id
from tests.oracle.customer import Customer


def iso(day: int) -> str:
    return date.fromordinal(day).isoformat()


def facts_of(customer: Customer) -> CustomerFacts:
    """Who it is about; the zone is the one in force, the product's where the customer names none."""
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

    product_id: str
    customer: Customer
    rule: str
    type: str
    day: int
    at_us: int
    decided_us: int

    def told(
        self,
        *,
        id_day: str,
        id_episode: str,
        streak: StreakFacts,
        cutoff_at: str | None = None,
        episode_day: int | None = None,
        missed_days: int | None = None,
        stopped_id: str | None = None,
        surprise: float | None = None,
        reasons: tuple[Reason, ...] = (),
    ) -> Trigger:
        """The trigger, with what its type adds."""
        identity = trigger_id(
            product=self.product_id,
            customer_id=self.customer.id,
            rule=self.rule,
            type=self.type,
            day=id_day,
            episode=id_episode,
        )
        body = TriggerData(
            product=self.product_id,
            rule=self.rule,
            day=date.fromordinal(self.day),
            decided_at=rfc3339(self.decided_us),
            cutoff_at=cutoff_at,
            surprise=surprise,
            reasons=reasons,
            episode_day=episode_day,
            missed_days=missed_days,
            stopped_id=stopped_id,
            streak=streak,
            customer=facts_of(self.customer),
        )
        return Trigger(id=identity, type=self.type, timestamp=rfc3339(self.at_us), data=body)
