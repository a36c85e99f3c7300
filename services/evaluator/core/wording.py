"""Puts a notice into the words of the contract: a trigger with its id, its instants and its customer."""

from datetime import date

from services.evaluator.core.notice import Notice
from services.evaluator.core.past import Streak
from services.evaluator.core.state import CustomerState
from shared.clock import rfc3339
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, trigger_id


def to_trigger(notice: Notice, state: CustomerState, product_id: str, customer_id: str) -> Trigger:
    """The trigger of a notice."""
    return Trigger(
        id=_id(notice, notice.type, notice.id_day, product_id, customer_id),
        type=notice.type,
        timestamp=rfc3339(notice.timestamp_us),
        data=TriggerData(
            product=product_id,
            rule=notice.rule,
            day=date.fromordinal(notice.day),
            decided_at=rfc3339(notice.decided_us),
            cutoff_at=None if notice.cutoff_us is None else rfc3339(notice.cutoff_us),
            surprise=notice.surprise,
            reasons=notice.reasons,
            episode_day=notice.episode_day,
            missed_days=notice.missed_days,
            count=notice.count,
            stopped_id=(
                _id(notice, notice.stopped_id_type, notice.stopped_id_day, product_id, customer_id)
                if notice.stopped_id_type
                else None
            ),
            streak=streak_facts(notice.streak),
            customer=_customer(state, customer_id),
        ),
    )


def streak_facts(streak: Streak) -> StreakFacts:
    """A streak with ISO days; without days where there is none."""
    return StreakFacts(
        length=streak.length,
        calendar_days=streak.calendar_days,
        started_on=date.fromordinal(streak.started_on) if streak.length else None,
        last_active_on=date.fromordinal(streak.last_on) if streak.length else None,
    )


def _id(notice: Notice, type_: str, day: int, product_id: str, customer_id: str) -> str:
    return trigger_id(
        product=product_id,
        customer_id=customer_id,
        rule=notice.rule,
        type=type_,
        day=_iso(day),
        episode=_iso(notice.id_episode),
    )


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat() if day else ""


def _customer(state: CustomerState, customer_id: str) -> CustomerFacts:
    profile = state.profile
    return CustomerFacts(
        id=customer_id,
        name=profile.name,
        time_zone=state.segments[-1].settings.zone,
        csm=profile.csm,
        segment=profile.segment,
        phone=profile.phone,
        contact_window=profile.contact_window,
        mrr=profile.mrr,
        renewal_on=profile.renewal_on,
        properties=profile.properties,
    )
