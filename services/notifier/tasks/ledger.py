"""Tasks and deliveries in memory while a unit of work decides: what was read, and what has to be written."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.notifier.planning.guard import Outage, outage_id
from services.notifier.tasks.announce import Delivery, changes, face, mail_of
from services.notifier.tasks.capacity import settled_us
from services.notifier.tasks.lifecycle import Note, Raised, Step, Task
from shared.config import Channel
from shared.triggers import Trigger


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a task's audit trail; `at_us` in microseconds since the epoch."""

    task_id: str
    at_us: int
    note: Note


class KnownTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger as published, and the task that knows it."""

    trigger: Trigger
    task_id: str
    value: bytes
    seen_us: int


Key = tuple[str, str, str]
"""Product, customer and rule: whatever closes a task names these."""


def key_of(trigger: Trigger) -> Key:
    """Whose tasks a trigger concerns."""
    return trigger.data.product, trigger.data.customer.id, trigger.data.rule


class Ledger:
    """What one transaction has read and will write. Pure: it decides nothing itself and reads no clock."""

    def __init__(
        self,
        *,
        channels: Mapping[str, Channel],
        tasks: Iterable[Task] = (),
        deliveries: Iterable[Delivery] = (),
        known: Mapping[str, str] | None = None,
        outages: Mapping[str, Outage] | None = None,
    ) -> None:
        """`known` gives the task of every trigger id that was seen before; `outages` those under guard."""
        self._channels = channels
        self._tasks: dict[str, Task] = {}
        self._tasks_of: defaultdict[Key, list[str]] = defaultdict(list)
        self._deliveries: defaultdict[str, dict[str, Delivery]] = defaultdict(dict)  # by task and id
        for task in tasks:
            self._put(task)
        for delivery in deliveries:
            self._deliveries[delivery.task_id][delivery.id] = delivery
        self.known: dict[str, str] = dict(known or {})
        self.changed: dict[str, Task] = {}
        self.new_deliveries: dict[str, Delivery] = {}
        self.withdrawn: list[str] = []
        self.freed: list[Delivery] = []
        self.outages: dict[str, Outage] = dict(outages or {})
        self.changed_outages: set[str] = set()
        self.history: list[HistoryLine] = []
        self.triggers: list[KnownTrigger] = []
        self.moved: dict[str, str] = {}
        self.days: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.changed or self.history or self.triggers or self.changed_outages)

    def task(self, task_id: str) -> Task | None:
        return self._tasks.get(task_id)

    @property
    def tasks(self) -> list[Task]:
        return list(self._tasks.values())

    def live(self, key: Key) -> list[Task]:
        """The open tasks of a customer and rule: one a type of trigger."""
        return [task for task in map(self._tasks.__getitem__, self._tasks_of[key]) if task.is_live]

    def closed(self, key: Key, type: str) -> list[Task]:
        """What is known of the closed tasks of a customer and rule that such triggers opened."""
        tasks = map(self._tasks.__getitem__, self._tasks_of[key])
        return [task for task in tasks if not task.is_live and task.trigger.type == type]

    def cooling(self, key: Key) -> list[Task]:
        """The closed tasks of a customer and rule under which stops are noted."""
        tasks = map(self._tasks.__getitem__, self._tasks_of[key])
        return [task for task in tasks if task.cooling is not None]

    def deliveries_of(self, task_id: str) -> Sequence[Delivery]:
        return list(self._deliveries[task_id].values())

    def learn(self, trigger: Trigger, value: bytes, task_id: str, now_us: int) -> None:
        """From now on this trigger's id is known and changes nothing."""
        if trigger.id in self.known:
            return
        self.known[trigger.id] = task_id
        self.triggers.append(KnownTrigger(trigger=trigger, task_id=task_id, value=value, seen_us=now_us))

    def move(self, facts: Sequence[Raised], task_id: str) -> None:
        """These triggers stand under another task from now on."""
        for fact in facts:
            self.known[fact.id] = self.moved[fact.id] = task_id

    def take(self, step: Step, now_us: int) -> None:
        """What follows from a step: the task as it is now, its history, its deliveries."""
        task, before = step.task, self._tasks.get(step.task.id)
        is_new_face = before is not None and face(before) != face(task)
        if before is not task:
            self._put(task)
            self.changed[task.id] = task
            self._await_day(task)
        self.history += [HistoryLine(task_id=task.id, at_us=now_us, note=note) for note in step.notes]
        if step.withdraws == "nothing" and not (step.announcements or step.frees or is_new_face):
            return
        earlier = self.deliveries_of(task.id)
        mail = mail_of(step, earlier, self._channels, now_us, is_new_face=is_new_face)
        for delivery in mail.new:
            if delivery.id in self.new_deliveries:
                continue  # A machine hears of each trigger once, as of the first task that it concerns.
            self._deliveries[task.id][delivery.id] = self.new_deliveries[delivery.id] = delivery
        for delivery_id in mail.withdrawn:
            self._withdraw(task.id, delivery_id)
        for delivery in mail.freed:
            self._deliveries[task.id][delivery.id] = delivery
            self.freed.append(delivery)

    def show_anew(self, task: Task, delivery: Delivery, now_us: int) -> None:
        """What has just arrived shows the task as it was; the message is to be changed."""
        for change in changes(task, [delivery], self._channels, now_us):
            self._deliveries[task.id][change.id] = self.new_deliveries[change.id] = change

    def put_outage(self, outage: Outage) -> None:
        """What is now known of an outage."""
        if self.outages.get(outage.id) != outage:
            self.outages[outage.id] = outage
            self.changed_outages.add(outage.id)

    def hold_of(self, trigger: Trigger) -> str | None:
        """The outage that holds the call of this stop; None where it may go out."""
        outage = self.outages.get(outage_id(trigger) or "")
        return outage.id if outage is not None and outage.is_holding else None

    def _await_day(self, task: Task) -> None:
        """A call that waits to be one of a CSM's day has that day looked at when it is settled."""
        if task.held is not None and task.holder == "day":
            at_us = settled_us(task)
            self.days[task.held] = min(at_us, self.days.get(task.held, at_us))

    def _put(self, task: Task) -> None:
        if task.id not in self._tasks:
            self._tasks_of[task.product, task.customer_id, task.rule].append(task.id)
        self._tasks[task.id] = task

    def _withdraw(self, task_id: str, delivery_id: str) -> None:
        delivery = self._deliveries[task_id][delivery_id]
        cancelled = msgspec.structs.replace(delivery, state="cancelled", next_attempt_us=None)
        self._deliveries[task_id][delivery_id] = cancelled
        if delivery_id in self.new_deliveries:
            self.new_deliveries[delivery_id] = cancelled
        else:
            self.withdrawn.append(delivery_id)
