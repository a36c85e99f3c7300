"""Decides which deliveries a task's announcements become, and which earlier ones they replace."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from services.notifier.tasks.lifecycle import Announced, Announcement, Step, Task
from shared.config import Channel

DeliveryState = Literal["pending", "held", "delivered", "dead", "cancelled"]
Kind = Announced | Literal["changed"]
"""An announcement's kind; `changed`: what was announced is to look as the task is by now."""

ENDS: tuple[Kind, ...] = ("closed", "changed")
"""What speaks of an announcement made before, and goes out whatever has become of the task."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement on its way to one channel; `id` is derived, so a replay makes no second one.

    `uncertain`: an attempt ended in silence, so it may have arrived. `lease_until_us`: an attempt is
    under way, or was when its worker died. `replayed`: a person asked for it, so it goes out whatever
    has become of the task.
    `addressee`: the CSM it is for, where that is not whoever owns the task by then.
    `reference` is what the channel calls the message; of a change, the message that is to be changed.
    Instants in microseconds since the epoch.
    """

    id: str
    trigger_id: str
    task_id: str
    product: str
    customer_id: str
    channel: str
    kind: Kind
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


def face(task: Task) -> tuple[object, ...]:
    """What a message shows of a task beyond its facts: whoever has it, and what has become of it.

    That a channel has it (`notified`) shows nowhere.
    """
    state = "open" if task.state == "notified" else task.state
    return state, task.owner, task.acknowledged_by, task.snoozed_until_us, task.outcome, task.closed_by


def mail_of(
    step: Step,
    earlier: Sequence[Delivery],
    channels: Mapping[str, Channel],
    now_us: int,
    *,
    is_new_face: bool = False,
) -> Mail:
    """The deliveries that follow from a step, given those the task has already.

    `is_new_face`: messages that show the task do not show it as it is any more.
    """
    new: list[Delivery] = []
    withdrawn = [d.id for d in earlier if d.state in ("pending", "held") and _is_withdrawn(d, step, channels)]
    for announcement in step.announcements:
        for name in step.task.plan.channels:
            channel = channels.get(name)
            if channel is None or not _is_for(announcement, channel):
                continue
            if _is_beyond(step.task, announcement, channel):
                continue
            before = [d for d in earlier if d.channel == name]
            if announcement.kind == "closed" and not any(d.was_seen for d in before):
                continue  # Who never heard of the stop need not hear that it is over.
            new.append(_delivery(step.task, announcement, name, channel, before, now_us))
            withdrawn += _superseded(new[-1], channel, before)
    if is_new_face:
        new += changes(step.task, [*earlier, *new], channels, now_us)
    freed = [_freed(d, step.task, now_us) for d in earlier if step.frees and d.state == "held"]
    return Mail(new=tuple(new), withdrawn=tuple(dict.fromkeys(withdrawn)), freed=tuple(freed))


def changes(
    task: Task, earlier: Sequence[Delivery], channels: Mapping[str, Channel], now_us: int
) -> list[Delivery]:
    """One change for every message about the task that can be changed and is not about to be."""
    awaited = {
        (d.channel, d.reference)
        for d in earlier
        if d.kind in ENDS and d.state == "pending" and d.lease_until_us is None
    }
    shown = {(d.channel, d.reference): d for d in earlier if d.reference and d.kind not in ENDS}
    return [
        _change(task, delivery, now_us)
        for key, delivery in shown.items()
        if key not in awaited and _shows_changes(task, channels.get(delivery.channel))
    ]


def _shows_changes(task: Task, channel: Channel | None) -> bool:
    """People see every change; a machine's task is closed with ours, and left alone before."""
    if channel is None or not channel.keeps_reference:
        return False
    return speaks_to_people(channel) or not task.is_live


def _change(task: Task, shown: Delivery, now_us: int) -> Delivery:
    # A tool may call a message anything; an id has to fit into a path.
    which = sha256(shown.reference.encode()).hexdigest()[:8]
    return Delivery(
        id=f"{task.id}.{shown.channel}.changed.{which}.{now_us}",
        trigger_id=shown.trigger_id,
        task_id=task.id,
        product=task.product,
        customer_id=task.customer_id,
        channel=shown.channel,
        kind="changed",
        state="pending",
        created_us=now_us,
        next_attempt_us=now_us,
        reference=shown.reference,
    )


def _freed(delivery: Delivery, task: Task, now_us: int) -> Delivery:
    at_us = max(now_us, task.plan.times.notify_us)
    return msgspec.structs.replace(delivery, state="pending", next_attempt_us=at_us)


def _is_withdrawn(delivery: Delivery, step: Step, channels: Mapping[str, Channel]) -> bool:
    if step.withdraws == "nothing" or delivery.kind in ENDS:
        return False
    if step.withdraws == "held":
        return delivery.state == "held"
    channel = channels.get(delivery.channel)
    return step.withdraws == "all" or channel is None or speaks_to_people(channel)


def _is_for(announcement: Announcement, channel: Channel) -> bool:
    return announcement.to_people if speaks_to_people(channel) else announcement.to_machines


def _is_beyond(task: Task, announcement: Announcement, channel: Channel) -> bool:
    """What is beyond a CSM's calls for the day is told of in one digest, where it would have been a call."""
    if channel.timing == "at_once":
        return announcement.kind == "digest"  # It was told when it was known.
    return task.overflow and announcement.kind == "again"


def _superseded(news: Delivery, channel: Channel, before: Sequence[Delivery]) -> list[str]:
    """Each person gets one message that says how things are; machines get every fact."""
    if not speaks_to_people(channel) or news.kind == "closed":
        return []
    return [
        d.id
        for d in before
        if d.state in ("pending", "held")
        and d.kind not in ENDS
        and d.addressee == news.addressee
        and not d.was_seen
    ]


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
        reference=_reference(announcement, channel, before),
    )


def _reference(announcement: Announcement, channel: Channel, before: Sequence[Delivery]) -> str:
    """The newest message that an end is to be written into; empty where none is known yet."""
    if announcement.kind != "closed" or not channel.keeps_reference:
        return ""
    known = [d for d in before if d.reference]
    return max(known, key=lambda d: d.created_us).reference if known else ""


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
    if announcement.from_us is not None:
        return max(now_us, announcement.from_us)
    if announcement.kind == "escalated" or channel.timing == "at_once":
        return now_us
    return max(now_us, task.plan.times.notify_us)
