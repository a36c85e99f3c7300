"""Decides which deliveries a task's announcements become, and which earlier ones they replace."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from services.notifier.tasks import Announced, Announcement, Step, Task
from shared.config import Channel

DeliveryState = Literal["pending", "held", "delivered", "dead", "cancelled"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement on its way to one channel; `id` is derived, so a replay makes no second one.

    `uncertain`: an attempt ended in silence, so it may have arrived. `lease_until_us`: an attempt is
    under way, or was when its worker died. `replayed`: a person asked for it, so it goes out whatever
    has become of the task.
    `addressee`: the CSM it is for, where that is not whoever owns the task by then.
    `reference` is what the channel calls the message. Instants in microseconds since the epoch.
    """

    id: str
    trigger_id: str
    task_id: str
    product: str
    customer_id: str
    channel: str
    kind: Announced
    addressee: str = ""
    state: DeliveryState
    created_us: int
    next_attempt_us: int | None
    attempt_count: int = 0
    lease_until_us: int | None = None
    delivered_us: int | None = None
    uncertain: bool = False
    replayed: bool = False
    reference: str = ""
    last_error: str = ""

    @property
    def was_seen(self) -> bool:
        """Whether somebody may have read it."""
        return self.state == "delivered" or self.uncertain or self.lease_until_us is not None


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """What to write after a step: new deliveries, ids of those not to be sent, held ones now free."""

    new: tuple[Delivery, ...] = ()
    withdrawn: tuple[str, ...] = ()
    freed: tuple[Delivery, ...] = ()


def speaks_to_people(channel: Channel) -> bool:
    """A webhook feeds a machine; whatever else there is, people read."""
    return channel.kind != "webhook"


def mail_of(step: Step, earlier: Sequence[Delivery], channels: Mapping[str, Channel], now_us: int) -> Mail:
    """The deliveries that follow from a step, given those the task has already."""
    new: list[Delivery] = []
    withdrawn = [d.id for d in earlier if d.state in ("pending", "held") and _is_withdrawn(d, step, channels)]
    for announcement in step.announcements:
        for name in step.task.plan.channels:
            channel = channels.get(name)
            if channel is None or not _is_for(announcement, channel):
                continue
            before = [d for d in earlier if d.channel == name]
            if announcement.kind == "closed" and not any(d.was_seen for d in before):
                continue  # Who never heard of the stop need not hear that it is over.
            new.append(_delivery(step.task, announcement, name, channel, before, now_us))
            withdrawn += _superseded(new[-1], channel, before)
    freed = [_freed(d, step.task, now_us) for d in earlier if step.frees and d.state == "held"]
    return Mail(new=tuple(new), withdrawn=tuple(dict.fromkeys(withdrawn)), freed=tuple(freed))


def _freed(delivery: Delivery, task: Task, now_us: int) -> Delivery:
    at_us = max(now_us, task.plan.times.notify_us)
    return msgspec.structs.replace(delivery, state="pending", next_attempt_us=at_us)


def _is_withdrawn(delivery: Delivery, step: Step, channels: Mapping[str, Channel]) -> bool:
    if step.withdraws == "nothing" or delivery.kind == "closed":
        return False
    channel = channels.get(delivery.channel)
    return step.withdraws == "all" or channel is None or speaks_to_people(channel)


def _is_for(announcement: Announcement, channel: Channel) -> bool:
    return announcement.to_people if speaks_to_people(channel) else announcement.to_machines


def _superseded(news: Delivery, channel: Channel, before: Sequence[Delivery]) -> list[str]:
    """Each person gets one message that says how things are; machines get every fact."""
    if not speaks_to_people(channel) or news.kind == "closed":
        return []
    return [d.id for d in before if d.state == "pending" and d.addressee == news.addressee and not d.was_seen]


def _delivery(
    task: Task,
    announcement: Announcement,
    name: str,
    channel: Channel,
    before: Sequence[Delivery],
    now_us: int,
) -> Delivery:
    # A channel that takes facts at once is no call, and is not held.
    is_held = task.held is not None and channel.timing == "window"
    first_us = None if is_held else _first_attempt_us(task, announcement, channel, before, now_us)
    return Delivery(
        id=_id(task, announcement, name, channel, now_us),
        trigger_id=announcement.trigger.id,
        task_id=task.id,
        product=task.product,
        customer_id=task.customer_id,
        channel=name,
        kind=announcement.kind,
        addressee=announcement.to or "",
        state="held" if is_held else "pending",
        created_us=now_us,
        next_attempt_us=first_us,
    )


def _id(task: Task, announcement: Announcement, name: str, channel: Channel, now_us: int) -> str:
    """A trigger is announced once a channel; a nudge carries no new fact, so its instant tells it apart.

    To people, the end of one task is not what the same trigger opens or closes elsewhere.
    """
    told = f"{announcement.trigger.id}.{name}"
    if announcement.kind == "closed" and speaks_to_people(channel):
        return f"{told}.closed.{task.id}"
    if announcement.kind in ("opened", "again", "closed"):
        return told
    return f"{told}.{announcement.kind}.{now_us}"


def _first_attempt_us(
    task: Task, announcement: Announcement, channel: Channel, before: Sequence[Delivery], now_us: int
) -> int:
    if announcement.kind == "closed":
        # While the stop itself may still be on its way, the news that it is over waits behind it.
        return max([now_us, *(d.lease_until_us for d in before if d.lease_until_us is not None)])
    if announcement.kind == "escalated" or channel.timing == "at_once":
        return now_us
    return max(now_us, task.plan.times.notify_us)
