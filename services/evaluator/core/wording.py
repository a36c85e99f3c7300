"""Puts a notice into the words of the contract: a trigger with its id, its instants and its customer."""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from services.evaluator.core.notice import Notice
from services.evaluator.core.past import Streak
from services.evaluator.core.state import CustomerState
from shared.clock import rfc3339
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, trigger_id

_DAYS_CACHED_MAX = 4096  # a year's days are told of many customers


def to_triggers(
    notices: Iterable[Notice], state: CustomerState, product_id: str, customer_id: str
) -> tuple[Trigger, ...]:
    """The triggers of one customer's notices, in order."""
    words = _Words(product_id, customer_id, _customer(state, customer_id))
    return tuple([words.of(notice) for notice in notices])


class _Words:
    """What all triggers of one customer have in common; remembers ids, for a return names its stop's."""

    def __init__(self, product_id: str, customer_id: str, customer: CustomerFacts) -> None:
        self._product_id, self._customer_id, self._customer = product_id, customer_id, customer
        self._ids: dict[tuple[str, str, int, int], str] = {}

    def of(self, notice: Notice) -> Trigger:
        """The trigger of a notice."""
        return Trigger(
            id=self._id(notice, notice.type, notice.id_day),
            type=notice.type,
            timestamp=rfc3339(notice.timestamp_us),
            data=TriggerData(
                product=self._product_id,
                rule=notice.rule,
                day=_date(notice.day),
                decided_at=rfc3339(notice.decided_us),
                cutoff_at=None if notice.cutoff_us is None else rfc3339(notice.cutoff_us),
                surprise=notice.surprise,
                reasons=notice.reasons,
                episode_day=notice.episode_day,
                missed_days=notice.missed_days,
                count=notice.count,
                stopped_id=(
                    self._id(notice, notice.stopped_id_type, notice.stopped_id_day)
                    if notice.stopped_id_type
                    else None
                ),
                streak=streak_facts(notice.streak),
                customer=self._customer,
            ),
        )

    def _id(self, notice: Notice, type_: str, day: int) -> str:
        what = notice.rule, type_, day, notice.id_episode
        known = self._ids.get(what)
        if known is None:
            known = self._ids[what] = trigger_id(
                product=self._product_id,
                customer_id=self._customer_id,
                rule=notice.rule,
                type=type_,
                day=_iso(day),
                episode=_iso(notice.id_episode),
            )
        return known


def streak_facts(streak: Streak) -> StreakFacts:
    """A streak with ISO days; without days where there is none."""
    if not streak.length:
        return _NO_STREAK
    return StreakFacts(
        length=streak.length,
        calendar_days=streak.calendar_days,
        started_on=_date(streak.started_on),
        last_active_on=_date(streak.last_on),
    )


_NO_STREAK = StreakFacts(length=0, calendar_days=0, started_on=None, last_active_on=None)


@lru_cache(_DAYS_CACHED_MAX)
def _date(day: int) -> date:
    return date.fromordinal(day)


@lru_cache(_DAYS_CACHED_MAX)
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
