"""Reads a task and what belongs to it as they stand; nothing is locked."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store.rows import decode_task, delivery_from_row, history_line
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.ledger import HistoryLine
from services.notifier.tasks.lifecycle import Task
from shared import schema
from shared.triggers import Trigger, decode_trigger


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
