"""Tasks, deliveries and their trail in the database: SQLAlchemy Core, the same on SQLite and PostgreSQL.

Every function works on a connection whose transaction is its caller's. Rows are locked tasks first,
then deliveries, each in the order of their ids, so that two workers never wait for one another.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    Insert,
    Row,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    case,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.announce import Delivery
from services.notifier.contact import Contact
from services.notifier.guard import Outage
from services.notifier.ledger import HistoryLine, Key, KnownTrigger, Ledger
from services.notifier.tasks import Note, Task
from shared import schema
from shared.config import Channel
from shared.triggers import Trigger, decode_trigger

_PARAMETERS_MAX = 500
"""Values in one IN list: far below what either database takes."""

_task_encoder = msgspec.msgpack.Encoder()
_task_decoder: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)


# What a ledger is made of


async def open_ledger(
    connection: AsyncConnection,
    triggers: Sequence[Trigger],
    channels: Mapping[str, Channel],
    outages: Mapping[str, Outage] | None = None,
    *,
    closed_from_us: int | None = None,
) -> Ledger:
    """Everything that these triggers may change, locked until the transaction ends.

    `closed_from_us`: tasks that were closed, or changed since, after this instant matter as well.
    """
    stopped_ids = {t.data.stopped_id for t in triggers if t.data.stopped_id is not None}
    known = await _known(connection, {t.id for t in triggers} | stopped_ids)
    keys = {(t.data.product, t.data.customer.id, t.data.rule) for t in triggers}
    told = [known[stopped_id] for stopped_id in stopped_ids if stopped_id in known]
    tasks = await _locked_tasks(connection, keys, told, closed_from_us)
    return Ledger(
        channels=channels,
        tasks=tasks,
        deliveries=await _locked_deliveries(connection, [task.id for task in tasks]),
        known=known,
        outages=outages,
    )


async def ledger_of(
    connection: AsyncConnection, task_ids: Collection[str], channels: Mapping[str, Channel]
) -> Ledger:
    """These tasks with their deliveries, locked until the transaction ends; unknown ids are not there.

    Of customers whose task is closed, those that are open as well: it may have to make room for them.
    """
    t = schema.tasks.c
    found = await _tasks(connection, select(t.task).where(t.id.in_(sorted(task_ids))))
    keys = {(task.product, task.customer_id, task.rule) for task in found.values() if not task.is_live}
    if keys:
        found |= {task.id: task for task in await _locked_tasks(connection, keys, ())}
    return Ledger(
        channels=channels,
        tasks=found.values(),
        deliveries=await _locked_deliveries(connection, found),
    )


async def _known(connection: AsyncConnection, trigger_ids: Collection[str]) -> dict[str, str]:
    t = schema.task_triggers.c
    found: dict[str, str] = {}
    for some in slices(trigger_ids):
        rows = await connection.execute(select(t.trigger_id, t.task_id).where(t.trigger_id.in_(some)))
        found.update({row.trigger_id: row.task_id for row in rows})
    return found


async def _locked_tasks(
    connection: AsyncConnection,
    keys: Collection[Key],
    task_ids: Collection[str],
    closed_from_us: int | None = None,
) -> list[Task]:
    t = schema.tasks.c
    found: dict[str, Task] = {}
    for some in slices({(product, customer_id) for product, customer_id, _ in keys}):
        products: dict[str, list[str]] = {}
        for product, customer_id in some:
            products.setdefault(product, []).append(customer_id)
        whose = or_(*(and_(t.product == p, t.customer_id.in_(ids)) for p, ids in products.items()))
        is_live = t.closed_us.is_(None)
        matters = is_live if closed_from_us is None else or_(is_live, t.updated_us > closed_from_us)
        found.update(await _tasks(connection, select(t.task).where(matters, whose)))
    for ids in slices(task_ids):
        found.update(await _tasks(connection, select(t.task).where(t.id.in_(ids))))
    return [found[task_id] for task_id in sorted(found)]


async def _tasks(connection: AsyncConnection, query: Select[Any]) -> dict[str, Task]:
    rows = await connection.execute(query.order_by(schema.tasks.c.id).with_for_update())
    return {task.id: task for task in map(decode_task, rows.scalars())}


async def _locked_deliveries(connection: AsyncConnection, task_ids: Collection[str]) -> list[Delivery]:
    d = schema.deliveries
    found: list[Delivery] = []
    for some in slices(task_ids):
        query = select(d).where(d.c.task_id.in_(some)).order_by(d.c.id).with_for_update()
        found += [delivery_from_row(row) for row in (await connection.execute(query)).mappings()]
    return found


# Writing


async def write(connection: AsyncConnection, ledger: Ledger) -> None:
    """Everything the ledger has to say, in a handful of statements however long it is."""
    await _write_tasks(connection, ledger.changed.values())
    await _write_triggers(connection, ledger.triggers)
    await _await_days(connection, ledger.days)
    await _move_triggers(connection, ledger.moved)
    await _write_history(connection, ledger.history)
    d = schema.deliveries
    for some in slices(ledger.withdrawn):
        # A lease stays: whoever is sending at this moment may still record that it arrived.
        withdrawn = update(d).where(d.c.id.in_(some), d.c.state.in_(("pending", "held")))
        await connection.execute(withdrawn.values(state="cancelled", next_attempt_us=None))
    if ledger.freed:
        freed = [{"its_id": f.id, "at_us": f.next_attempt_us} for f in ledger.freed]
        await connection.execute(_FREE, freed)
    await _write_outages(connection, [ledger.outages[key] for key in sorted(ledger.changed_outages)])
    if ledger.new_deliveries:
        rows = [_delivery_row(delivery) for delivery in ledger.new_deliveries.values()]
        await connection.execute(insert_into(connection, d).on_conflict_do_nothing(), rows)


_FREE = (
    update(schema.deliveries)
    .where(schema.deliveries.c.id == bindparam("its_id"), schema.deliveries.c.state == "held")
    .values(state="pending", next_attempt_us=bindparam("at_us"))
)


async def _write_outages(connection: AsyncConnection, outages: Sequence[Outage]) -> None:
    rows = [outage_row(outage) for outage in outages]
    if rows:
        await connection.execute(upsert(connection, schema.outages, ["id"], rows[0]), rows)


async def _write_tasks(connection: AsyncConnection, tasks: Iterable[Task]) -> None:
    rows = [_task_row(task) for task in tasks]
    if not rows:
        return
    await connection.execute(upsert(connection, schema.tasks, ["id"], rows[0]), rows)


async def _write_triggers(connection: AsyncConnection, triggers: Sequence[KnownTrigger]) -> None:
    rows = [
        {
            "trigger_id": known.trigger.id,
            "task_id": known.task_id,
            "type": known.trigger.type,
            "seen_us": known.seen_us,
            "value": known.value,
        }
        for known in triggers
    ]
    if rows:
        await connection.execute(insert(schema.task_triggers), rows)


async def _await_days(connection: AsyncConnection, days: Mapping[str, int]) -> None:
    """Has each CSM's day looked at when a call of it is settled, or before where that is planned already."""
    rows = [{"id": key, "wake_us": wake_us, "handed_count": 0} for key, wake_us in sorted(days.items())]
    if not rows:
        return
    y, made = schema.call_days.c, insert_into(connection, schema.call_days)
    sooner = made.excluded.wake_us
    earliest = case((or_(y.wake_us.is_(None), y.wake_us > sooner), sooner), else_=y.wake_us)
    await connection.execute(
        made.on_conflict_do_update(index_elements=["id"], set_={"wake_us": earliest}), rows
    )


async def _move_triggers(connection: AsyncConnection, moved: Mapping[str, str]) -> None:
    t = schema.task_triggers
    rows = [{"its_id": trigger_id, "its_task": task_id} for trigger_id, task_id in sorted(moved.items())]
    if rows:
        changed = update(t).where(t.c.trigger_id == bindparam("its_id"))
        await connection.execute(changed.values(task_id=bindparam("its_task")), rows)


async def _write_history(connection: AsyncConnection, lines: Sequence[HistoryLine]) -> None:
    rows = [
        {
            "task_id": line.task_id,
            "at_us": line.at_us,
            "actor": line.note.actor,
            "change": line.note.change,
            "detail": line.note.detail,
        }
        for line in lines
    ]
    if rows:
        await connection.execute(insert(schema.task_history), rows)


# Reading


async def task(connection: AsyncConnection, task_id: str) -> Task | None:
    """The task of this id."""
    t = schema.tasks.c
    value = (await connection.execute(select(t.task).where(t.id == task_id))).scalar_one_or_none()
    return decode_task(value) if value is not None else None


async def due_tasks(connection: AsyncConnection, now_us: int, count_max: int) -> list[str]:
    """Ids of tasks whose time to change by themselves has come, the longest due first."""
    t = schema.tasks.c
    query = select(t.id).where(t.wake_us <= now_us).order_by(t.wake_us).limit(count_max)
    return list((await connection.execute(query)).scalars())


async def next_wake_us(connection: AsyncConnection) -> int | None:
    """When the next task changes by itself."""
    t = schema.tasks.c
    query = select(t.wake_us).where(t.wake_us.is_not(None)).order_by(t.wake_us).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


async def history(connection: AsyncConnection, task_id: str) -> list[HistoryLine]:
    """The audit trail of a task, oldest first."""
    h = schema.task_history
    rows = await connection.execute(select(h).where(h.c.task_id == task_id).order_by(h.c.seq))
    return [history_line(row) for row in rows]


def history_line(row: Row[Any]) -> HistoryLine:
    """The line of a stored row."""
    return HistoryLine(
        task_id=row.task_id,
        at_us=row.at_us,
        note=Note(change=row.change, actor=row.actor, detail=row.detail),
    )


async def triggers_of(connection: AsyncConnection, task_id: str) -> list[Trigger]:
    """Every trigger that a task knows, oldest first."""
    t = schema.task_triggers.c
    rows = await connection.execute(select(t.value).where(t.task_id == task_id).order_by(t.seen_us))
    return [decode_trigger(value) for value in rows.scalars()]


async def deliveries_of(connection: AsyncConnection, task_id: str) -> list[Delivery]:
    """The deliveries of a task, oldest first."""
    d = schema.deliveries
    query = select(d).where(d.c.task_id == task_id).order_by(d.c.created_us, d.c.id)
    return [delivery_from_row(row) for row in (await connection.execute(query)).mappings()]


# Rows and values


def decode_task(value: bytes) -> Task:
    """The task of a stored row."""
    return _task_decoder.decode(value)


@lru_cache(maxsize=1024)
def contact_text(contact: Contact) -> str:
    """A contact as text: equal ones are equal, so that the database can group by it."""
    return msgspec.json.encode(contact).decode()


def _task_row(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "product": task.product,
        "customer_id": task.customer_id,
        "rule": task.rule,
        "type": task.trigger.type,
        "state": task.state,
        "owner": task.owner,
        "heard_by": heard_by(task.heard),
        "opened_us": task.opened_us,
        "due_us": task.plan.times.due_us,
        "wake_us": task.wake_us,
        "closed_us": task.closed_us,
        "outcome": task.outcome,
        "held": task.held,
        "updated_us": task.updated_us,
        "day": task.trigger.data.day.isoformat(),
        "surprise": task.trigger.data.surprise or 0.0,
        "contact": contact_text(task.plan.contact),
        "task": _task_encoder.encode(task),
    }


def heard_by(csms: Sequence[str]) -> str:
    """How `tasks.heard_by` holds CSMs, so that each can be looked for: between line ends."""
    return "".join(f"\n{csm}\n" for csm in csms)


def outage_row(outage: Outage) -> dict[str, Any]:
    """The stored row of an outage."""
    return {**msgspec.structs.asdict(outage), "day": outage.day.isoformat()}


def delivery_from_row(row: RowMapping) -> Delivery:
    """The delivery of a stored row."""
    values = {name: row[name] for name in Delivery.__struct_fields__}
    flags = {name: bool(values[name]) for name in ("uncertain", "replayed")}
    return Delivery(**{**values, **flags})


def _delivery_row(delivery: Delivery) -> dict[str, Any]:
    flags = {"uncertain": int(delivery.uncertain), "replayed": int(delivery.replayed)}
    return {**msgspec.structs.asdict(delivery), **flags}


def insert_into(connection: AsyncConnection, table: Table) -> Any:
    """INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells per dialect."""
    made: Insert = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    return made


def upsert(connection: AsyncConnection, table: Table, key: list[str], columns: Collection[str]) -> Any:
    """INSERT, or where the key is there already UPDATE of every other column named."""
    statement = insert_into(connection, table)
    changed = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


def slices(values: Collection[Any]) -> Iterable[list[Any]]:
    """In order, as many at a time as go into one list of a statement."""
    ordered = sorted(values)
    return (ordered[i : i + _PARAMETERS_MAX] for i in range(0, len(ordered), _PARAMETERS_MAX))
