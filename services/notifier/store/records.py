"""What is on record of a customer, of the team's calls and of the readers: for the pages that look back."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store.rows import decode_task, history_line
from services.notifier.tasks.figures import Call
from services.notifier.tasks.ledger import HistoryLine
from services.notifier.tasks.lifecycle import Task
from shared import schema
from shared.events import TOPIC_TRIGGERS
from shared.triggers import Trigger, decode_trigger

CALLS_MAX = 20_000

_t, _h = schema.tasks.c, schema.task_history.c


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reader of the log has come; a notifier has no watermark (0)."""

    reader: str
    topic: str
    partition: int
    next_offset: int
    watermark_us: int
    updated_us: int


async def customer_tasks(
    connection: AsyncConnection, product: str, customer_id: str, *, count_max: int
) -> list[Task]:
    """A customer's tasks, the newest first."""
    query = select(_t.task).where(_t.product == product, _t.customer_id == customer_id)
    rows = await connection.execute(query.order_by(_t.opened_us.desc(), _t.id.desc()).limit(count_max))
    return [decode_task(value) for value in rows.scalars()]


async def customer_triggers(
    connection: AsyncConnection, product: str, customer_id: str, *, count_max: int
) -> list[Trigger]:
    """What was decided about a customer, the newest first, whether or not anybody was told."""
    o = schema.outbox.c
    query = select(o.value).where(
        o.product == product, o.customer_id == customer_id, o.topic == TOPIC_TRIGGERS
    )
    rows = await connection.execute(query.order_by(o.seq.desc()).limit(count_max))
    return [decode_trigger(value) for value in rows.scalars()]


async def trail_of(
    connection: AsyncConnection, task_ids: Sequence[str], *, count_max: int
) -> list[HistoryLine]:
    """The audit trail of several tasks, the newest line first."""
    query = select(schema.task_history).where(_h.task_id.in_(task_ids))
    rows = await connection.execute(query.order_by(_h.seq.desc()).limit(count_max))
    return [history_line(row) for row in rows]


async def calls_made(connection: AsyncConnection, *, from_us: int) -> list[Call]:
    """The calls that were closed with an outcome since then; one that was undone is not among them."""
    first_touch = (
        select(func.min(_h.at_us))
        .where(_h.task_id == _t.id, _h.change.in_(("acknowledged", "done")))
        .correlate(schema.tasks)
        .scalar_subquery()
    )
    closing = and_(_h.task_id == _t.id, _h.change == "done", _h.at_us == _t.closed_us)
    query = (
        select(_t.rule, _h.actor, _t.outcome, _t.opened_us, first_touch, _t.closed_us)
        .select_from(schema.tasks.join(schema.task_history, closing))
        .where(_t.closed_us >= from_us, _t.outcome.is_not(None))
        .order_by(_t.closed_us.desc())
        .limit(CALLS_MAX)
    )
    return [
        Call(
            rule=rule,
            by=by,
            outcome=outcome,
            opened_us=opened_us,
            first_touch_us=first_touch_us or done_us,
            done_us=done_us,
        )
        for rule, by, outcome, opened_us, first_touch_us, done_us in await connection.execute(query)
    ]


async def positions(connection: AsyncConnection) -> list[Position]:
    """How far every reader has come, by reader and partition."""
    p = schema.positions
    rows = await connection.execute(select(p).order_by(p.c.reader, p.c.topic, p.c.partition))
    return [Position(**dict(row)) for row in rows.mappings()]
