"""What must hold at the end of a run, whatever went wrong: held against the oracle, line by line."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from services.evaluator.core.state import decode_state
from services.notifier.planning.routing import plan_for
from services.notifier.tasks.lifecycle import Task
from shared.clock import to_us
from shared.config import AbsenceRuleSection, WebhookChannel
from shared.events import (
    TOPIC_EVENTS,
    TOPIC_TRIGGERS,
    CustomerErased,
    DayExcused,
    DeadLetter,
    Event,
    Message,
    ProfileChanged,
    Tick,
    decode,
    record_key,
)
from shared.triggers import RESUMED, Trigger, decode_trigger
from tests.oracle.filter import EVERY, matches
from tests.oracle.fold import Oracle
from tests.oracle.log import Entry
from tests.property.compare import plain
from tests.simulation.plan import HOOK
from tests.simulation.world import World

Key = tuple[str, str]
RETRACTED = ".retracted"


def check(world: World) -> list[str]:
    """One line for each thing that is wrong; to be asked of a run that came to rest."""
    histories = [History(world, key) for key in world.plan.customers]
    problems: list[str] = []
    problems += _acknowledged_are_in_the_log(world, histories)
    for history in histories:
        problems += _everything_is_folded(world, history)
        problems += _triggers_are_the_oracles(world, history)
        problems += _nobody_is_falsely_accused(world, history)
        problems += _every_trigger_has_its_task(world, history)
    problems += _deliveries_have_ended(world, {h.key for h in histories if h.was_erased})
    return problems


class History:
    """One customer as the oracle reads it from the log that the run has left."""

    def __init__(self, world: World, key: Key) -> None:
        self.key = key
        partition = world.broker.partition_of_key(record_key(*key))
        self.entries = [
            Entry(record.appended_us, message)
            for record in world.broker.records(TOPIC_EVENTS, partition)
            if _concerns(message := decode(record.value), key)
        ]
        self.oracle = Oracle(
            product_id=key[0], customer_id=key[1], section=world.plan.config.products[key[0]]
        )
        self.was_erased = False
        self.was_moved = False
        self.triggers: list[Trigger] = []  # since it was erased, if it was
        self.all_triggers: list[Trigger] = []
        self._rejected_before = 0
        for entry in self.entries:
            self._read(entry)

    def _read(self, entry: Entry) -> None:
        triggers = self.oracle.read(entry)
        self.triggers += triggers
        self.all_triggers += triggers
        if isinstance(entry.message, ProfileChanged) and any(self.oracle.active.values()):
            self.was_moved = True
        if isinstance(entry.message, CustomerErased):
            self.was_erased = True
            self.triggers = []
            self._rejected_before = len(self.oracle.rejected)

    @property
    def rejected(self) -> list[str]:
        """Reasons, since it was erased."""
        return self.oracle.rejected[self._rejected_before :]

    @property
    def events(self) -> Iterator[tuple[Entry, Event]]:
        for entry in self.entries:
            if isinstance(entry.message, Event):
                yield entry, entry.message


def _concerns(message: Message, key: Key) -> bool:
    if isinstance(message, Tick):
        return True
    if isinstance(message, DayExcused):
        return message.product == key[0]
    assert isinstance(message, Event | ProfileChanged | CustomerErased)
    return (message.product, message.customer_id) == key


# 1. What was acknowledged is in the log, and folded.


def _acknowledged_are_in_the_log(world: World, histories: Sequence[History]) -> Iterator[str]:
    found: dict[str, int] = defaultdict(int)
    for history in histories:
        for _, event in history.events:
            found[event.event_id] += 1
    for event_id in world.traffic.acknowledged:
        times = found[event_id]
        if not world.traffic.acknowledged_count[event_id] <= times <= world.traffic.sent[event_id]:
            yield (
                f"event {event_id} was sent {world.traffic.sent[event_id]} times, acknowledged "
                f"{world.traffic.acknowledged_count[event_id]} times and is {times} times in the log"
            )


def _everything_is_folded(world: World, history: History) -> Iterator[str]:
    rows = world.disk.look("SELECT state FROM customers WHERE product = ? AND customer_id = ?", *history.key)
    kept = decode_state(rows[0][0]).active.get("*", 0) if rows else 0
    base = decode_state(rows[0][0]).base if rows else 0
    found = {base + bit for bit in range(kept.bit_length()) if kept >> bit & 1}
    expected = history.oracle.active.get(EVERY, set())
    if found != expected:
        yield f"{history.key} has active days {sorted(found)}, and should have {sorted(expected)}"
    letters = [
        msgspec.json.decode(value, type=DeadLetter).reason
        for (value,) in world.disk.look(
            "SELECT value FROM outbox WHERE topic = 'usage.dead_letters' AND product = ?"
            " AND customer_id = ? ORDER BY seq",
            *history.key,
        )
    ]
    if letters != history.rejected:
        yield f"{history.key} has dead letters {letters}, and should have {history.rejected}"


# 2. and 3. The triggers are the oracle's, in its order, and each id says one thing.


def _triggers_are_the_oracles(world: World, history: History) -> Iterator[str]:
    expected = _first_of_each(history.triggers)
    stored = [
        plain(decode_trigger(value))
        for (value,) in world.disk.look(
            "SELECT value FROM outbox WHERE topic = 'usage.triggers' AND product = ?"
            " AND customer_id = ? ORDER BY seq",
            *history.key,
        )
    ]
    yield from _differences(f"{history.key} outbox", expected, stored)
    published = _published(world, history.key)
    if history.was_erased:
        unknown = {t.id for t in published} - {t.id for t in history.all_triggers}
        missing = {t.id for t in expected} - {t.id for t in published}
        yield from (f"{history.key} published {i}, which the oracle does not know" for i in sorted(unknown))
        yield from (f"{history.key} never published {i}" for i in sorted(missing))
        return
    yield from _differences(f"{history.key} topic", expected, _first_of_each(published))
    contents: dict[str, Trigger] = {}
    for trigger in published:
        if contents.setdefault(trigger.id, trigger) != trigger:
            yield f"{history.key} {trigger.id} was published with two contents"


def _published(world: World, key: Key) -> list[Trigger]:
    wanted = record_key(*key)
    partition = world.broker.partition_of_key(wanted)
    records = world.broker.records(TOPIC_TRIGGERS, partition)
    return [plain(decode_trigger(record.value)) for record in records if record.key == wanted]


def _first_of_each(triggers: Iterable[Trigger]) -> list[Trigger]:
    first: dict[str, Trigger] = {}
    for trigger in triggers:
        first.setdefault(trigger.id, trigger)
    return list(first.values())


def _differences(where: str, expected: list[Trigger], found: list[Trigger]) -> Iterator[str]:
    if expected == found:
        return
    for trigger in expected:
        if trigger not in found:
            yield f"{where}: missing {_line(trigger)}"
    for trigger in found:
        if trigger not in expected:
            yield f"{where}: too much {_line(trigger)}"
    if sorted(map(_line, expected)) == sorted(map(_line, found)):
        yield f"{where}: in the order {[t.id for t in found]}, not {[t.id for t in expected]}"


def _line(trigger: Trigger) -> str:
    return msgspec.json.encode(trigger).decode()


# 4. No stop stands for a day whose use had been acknowledged before the tick that settled it.


def _nobody_is_falsely_accused(world: World, history: History) -> Iterator[str]:
    """Told without the oracle's judgement: only from use, acknowledgements and what was published."""
    customer = history.oracle.customer
    if customer is None or history.was_erased or history.was_moved:
        return  # Where days have changed their meaning, the comparison with the oracle has to do.
    section = world.plan.config.products[history.key[0]]
    published = _published(world, history.key)
    retracted = {t.data.stopped_id for t in published if t.type.endswith(RETRACTED)}
    for trigger in published:
        rule = section.rules.get(trigger.data.rule)
        if not isinstance(rule, AbsenceRuleSection) or rule.anchor is not None:
            continue
        if trigger.type != rule.emit or trigger.id in retracted:
            continue
        cutoff_us, decided_us = _us(trigger.data.cutoff_at), _us(trigger.data.decided_at)
        for entry, event in history.events:
            if event.occurred_us is None or event.backfill or event.occurred_us >= cutoff_us:
                continue
            if not matches(rule.when, event):
                continue
            if customer.timeline.day_of(event.occurred_us) != trigger.data.day.toordinal():
                continue
            if entry.appended_us - event.occurred_us > section.late_window.total_seconds() * 1_000_000:
                continue
            known_us = world.traffic.acknowledged.get(event.event_id)
            if known_us is not None and known_us < decided_us:
                yield f"{history.key} stands accused of {trigger.data.day}, used by {event.event_id}"


def _us(at: str | None) -> int:
    return to_us(datetime.fromisoformat(at or ""))


# 5. Every trigger that asks for something has one task, and every delivery has ended.


def _every_trigger_has_its_task(world: World, history: History) -> Iterator[str]:
    tasks = {task.id: task for task in _tasks(world, history.key)}
    known = dict(
        world.disk.look(
            "SELECT trigger_id, task_id FROM task_triggers JOIN tasks ON tasks.id = task_triggers.task_id"
            " WHERE product = ? AND customer_id = ?",
            *history.key,
        )
    )
    # What was published of a customer before it was erased is nobody's business any more.
    standing = history.triggers if history.was_erased else _published(world, history.key)
    triggers = _first_of_each(standing)
    over = _taken_back(triggers)
    for trigger in triggers:
        if plan_for(trigger, world.plan.config, 0) is None:
            continue
        task = tasks.get(known.get(trigger.id, ""))
        if task is None:
            yield f"{history.key} {trigger.type} {trigger.id} has no task"
        elif trigger.id in over and task.is_live and any(r.id == trigger.id for r in task.raised):
            yield f"{history.key} task {task.id} is open for {trigger.id}, which is over"
        elif trigger.id not in over and all(r.id != trigger.id for r in task.raised):
            yield f"{history.key} no task stands for {trigger.id}, which stands"
        yield from _its_deliveries(world, trigger, task)
    opened = [task for task in tasks.values() if task.is_live]
    if len({(task.rule, task.trigger.type) for task in opened}) != len(opened):
        yield f"{history.key} has two open tasks of one rule"
    for task_id in sorted(tasks.keys() - {trigger.id for trigger in triggers}):
        yield f"{history.key} was erased, and task {task_id} speaks of it"


def _taken_back(triggers: Iterable[Trigger]) -> set[str]:
    """The ids of stops that were retracted, or ended by a return."""
    standing: dict[str, Trigger] = {}
    over: set[str] = set()
    for trigger in triggers:
        if trigger.type.endswith(RETRACTED):
            over.add(trigger.data.stopped_id or "")
        elif trigger.type == RESUMED:
            over |= {
                stop.id
                for stop in standing.values()
                if stop.data.rule == trigger.data.rule and stop.data.day <= trigger.data.day
            }
        else:
            standing[trigger.id] = trigger
    return over


def _tasks(world: World, key: Key) -> list[Task]:
    rows = world.disk.look("SELECT task FROM tasks WHERE product = ? AND customer_id = ?", *key)
    return [msgspec.msgpack.decode(value, type=Task) for (value,) in rows]


def _its_deliveries(world: World, trigger: Trigger, task: Task | None) -> Iterator[str]:
    plan = plan_for(trigger, world.plan.config, 0)
    assert plan is not None
    for channel in plan.channels:
        if not isinstance(world.plan.config.channels[channel], WebhookChannel):
            continue  # People get one message that says how things are, machines every fact.
        rows = world.disk.look("SELECT state FROM deliveries WHERE id = ?", f"{trigger.id}.{channel}")
        if task is not None and task.overflow:
            continue  # Beyond its CSM's calls for the day: what was not sent is not sent any more.
        if not rows:
            yield f"{trigger.id} was never meant for {channel}"
        elif (
            rows[0][0] == "cancelled" and task is not None and task.is_live and trigger.id == task.trigger.id
        ):
            yield f"{trigger.id} was withdrawn from {channel} though its task is open"


def _deliveries_have_ended(world: World, erased: set[Key]) -> Iterator[str]:
    taken = world.receivers.taken[HOOK]
    seen = {webhook_id for webhook_id, _ in taken}
    query = "SELECT id, trigger_id, channel, state, product, customer_id FROM deliveries"
    for row_id, trigger_id, channel, state, *_ in world.disk.look(query):
        if state not in ("delivered", "dead", "cancelled"):
            yield f"delivery {row_id} has ended as {state}"
        if channel == "hook" and state == "delivered" and trigger_id not in seen:
            yield f"delivery {row_id} is called delivered, and nobody has got it"
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for webhook_id, body in taken:
        trigger = decode_trigger(body)
        if (trigger.data.product, trigger.data.customer.id) not in erased:
            bodies[webhook_id].add(body)
    yield from (f"{i} was received with {len(said)} contents" for i, said in bodies.items() if len(said) > 1)
