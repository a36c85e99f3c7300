"""Lists of tasks as people ask for them: by state, owner, day; newest last, page by page."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store import decode_task, heard_by
from services.notifier.tasks import Task
from shared import schema

_t = schema.tasks.c


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are meant; None and empty: any. Instants in microseconds since the epoch.

    `owner` "" means nobody's. `whose` is what a CSM has to look after: owned, or escalated to him.
    """

    product: str | None = None
    states: Collection[str] = ()
    owner: str | None = None
    whose: str | None = None
    customer_id: str | None = None
    is_live: bool | None = None
    opened_from_us: int | None = None
    closed_from_us: int | None = None
    live_or_closed_from_us: int | None = None


async def page(
    connection: AsyncConnection,
    wanted: TaskFilter,
    *,
    count_max: int,
    after: tuple[int, str] | None = None,
    newest_first: bool = False,
) -> list[Task]:
    """Tasks in the order in which they were opened; `after` is (opened_us, id) of the last one seen."""
    query = _matching(select(_t.task), wanted)
    place = tuple_(_t.opened_us, _t.id)
    if after is not None:
        last = tuple_(literal(after[0]), literal(after[1]))
        query = query.where(place < last if newest_first else place > last)
    order = (_t.opened_us.desc(), _t.id.desc()) if newest_first else (_t.opened_us, _t.id)
    rows = await connection.execute(query.order_by(*order).limit(count_max))
    return [decode_task(value) for value in rows.scalars()]


async def owners(connection: AsyncConnection, wanted: TaskFilter) -> dict[str | None, int]:
    """How many of the tasks each owner has."""
    query = _matching(select(_t.owner, func.count()), wanted).group_by(_t.owner)
    return {row[0]: int(row[1]) for row in await connection.execute(query)}


async def version(connection: AsyncConnection) -> int:
    """A number that grows with every change of any task: has anything happened since?"""
    newest = await connection.execute(select(func.max(schema.task_history.c.seq)))
    return int(newest.scalar_one() or 0)


def _matching(query: Select[Any], wanted: TaskFilter) -> Select[Any]:
    return query.where(*_conditions(wanted))


def _conditions(wanted: TaskFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.product is not None:
        yield _t.product == wanted.product
    if wanted.states:
        yield _t.state.in_(list(wanted.states))
    if wanted.owner is not None:
        yield _t.owner == wanted.owner if wanted.owner else _t.owner.is_(None)
    if wanted.whose is not None:
        yield or_(_t.owner == wanted.whose, _t.heard_by.contains(heard_by([wanted.whose]), autoescape=True))
    if wanted.customer_id is not None:
        yield _t.customer_id == wanted.customer_id
    if wanted.is_live is not None:
        yield _t.closed_us.is_(None) if wanted.is_live else _t.closed_us.is_not(None)
    if wanted.opened_from_us is not None:
        yield _t.opened_us >= wanted.opened_from_us
    if wanted.closed_from_us is not None:
        yield _t.closed_us >= wanted.closed_from_us
    if wanted.live_or_closed_from_us is not None:
        yield or_(_t.closed_us.is_(None), _t.closed_us >= wanted.live_or_closed_from_us)
