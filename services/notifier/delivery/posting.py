"""Decides of a claimed delivery whether it may still go out, and of a finished attempt what comes next."""

from typing import Any

from services.notifier.channels.channel import Result
from services.notifier.delivery.outgoing import Claim, Mark, MarkState
from services.notifier.delivery.retry import next_attempt_us
from services.notifier.planning.contact import Contact, next_contact
from services.notifier.tasks.announce import ENDS, Delivery, speaks_to_people
from services.notifier.tasks.capacity import at_work
from services.notifier.tasks.lifecycle import Task
from shared.config import Channel

ERROR_CHARS_MAX = 300

LEASE_US = 60 * 1_000_000
"""Longer than any attempt: two workers send the same delivery only after one of them has died."""


def verdict_on(claim: Claim, channel: Channel, now_us: int) -> Mark | None:
    """What becomes of a delivery that must not go out now; None: send it.

    Looks at the task once more at the moment of sending, so that most false calls are never seen.
    """
    delivery, task = claim.delivery, claim.task
    if task is None or claim.trigger is None:
        return _withdrawn(delivery, "the customer was erased")
    if delivery.replayed or delivery.kind in ENDS:
        return None
    if not task.is_live:
        return _withdrawn(delivery, f"the task was {task.state} before it was sent")
    if task.state == "snoozed" and speaks_to_people(channel):
        return _withdrawn(delivery, "the task was snoozed before it was sent")
    opens_us = _opens_us(task, delivery, channel, now_us)
    return _postponed(delivery, opens_us) if opens_us > now_us else None


def _opens_us(task: Task, delivery: Delivery, channel: Channel, now_us: int) -> int:
    """When it may go out: a message that missed its window waits for the next one."""
    if channel.timing == "at_once":
        return now_us
    span = next_contact(_contact_of(delivery, task), now_us)
    return span[0] if span is not None else now_us


def _contact_of(delivery: Delivery, task: Task) -> Contact:
    """A call has to reach the customer; a digest its CSM, the word that nobody took it whoever it is for."""
    if delivery.kind == "digest":
        return at_work(task.plan.contact)
    if delivery.kind != "escalated":
        return task.plan.contact
    hears = (step.hours for step in task.plan.escalations if step.to == delivery.addressee)
    return next(hears, task.plan.contact)


def _withdrawn(delivery: Delivery, why: str) -> Mark:
    return _mark(delivery, "cancelled", uncertain=delivery.uncertain, last_error=why, counts=False)


def _postponed(delivery: Delivery, until_us: int) -> Mark:
    return _mark(delivery, "pending", next_attempt_us=until_us, uncertain=delivery.uncertain, counts=False)


def returned(delivery: Delivery, now_us: int) -> Mark:
    """A claimed delivery given back unsent; due at once for whoever claims next."""
    return _postponed(delivery, now_us)


def mark_of(delivery: Delivery, result: Result, *, now_us: int, jitter: float) -> Mark:
    """What an attempt's result makes of its delivery."""
    if result.verdict == "delivered":
        return _mark(delivery, "delivered", delivered_us=now_us, reference=result.reference)
    if result.verdict == "unwanted":
        return _withdrawn(delivery, result.detail)
    uncertain = delivery.uncertain or result.uncertain
    again_us = None
    if result.verdict == "retry":
        again_us = next_attempt_us(
            attempt_count=delivery.attempt_count,
            now_us=now_us,
            jitter=jitter,
            retry_after_seconds=result.retry_after_seconds,
        )
    detail = result.detail[:ERROR_CHARS_MAX]
    if again_us is None:
        return _mark(delivery, "dead", uncertain=uncertain, last_error=detail)
    return _mark(delivery, "pending", next_attempt_us=again_us, uncertain=uncertain, last_error=detail)


def is_ours(delivery: Delivery, now_us: int) -> bool:
    """Whether its lease lasts so long that nobody else can send it while we do."""
    return (delivery.lease_until_us or 0) - now_us > LEASE_US // 2


def waited_us(delivery: Delivery, now_us: int) -> int:
    """How long ago it was claimed."""
    return now_us - ((delivery.lease_until_us or 0) - LEASE_US)


def _mark(delivery: Delivery, state: MarkState, **values: Any) -> Mark:
    # A claimed delivery always has a lease; it is what proves that the delivery is still ours. An end
    # keeps the name of the message it belongs to, whatever became of the attempt.
    values.setdefault("reference", delivery.reference)
    return Mark(delivery_id=delivery.id, lease_until_us=delivery.lease_until_us or 0, state=state, **values)
