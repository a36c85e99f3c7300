"""Ledgers and the database: what a unit of work may change is read and locked, what it decided is written.

Rows are locked tasks first, then deliveries, each in the order of their ids, so that two workers never wait
for one another.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.planning.guard import Outage
from services.notifier.store.rows import (
    decode_task,
    delivery_from_row,
    delivery_row,
    insert_into,
    outage_row,
    slices,
    task_row,
    upsert,
)
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.ledger import HistoryLine, Key, KnownTrigger, Ledger
from services.notifier.tasks.lifecycle import Task
from shared import schema
from shared.config import Channel
from shared.triggers import Trigger

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
        rows = [delivery_row(delivery) for delivery in ledger.new_deliveries.values()]
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
    rows = [task_row(task) for task in tasks]
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
