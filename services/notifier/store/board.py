"""Lists of tasks as people ask for them: by state, owner, day, contact window; page by page, and counted."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, case, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.planning.contact import Contact
from services.notifier.planning.listing import Group, Waiting
from services.notifier.store.rows import decode_task, heard_by
from services.notifier.tasks.lifecycle import DAY, PEERS, Task
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
) -> list[Task]:
    """Tasks in the order in which they were opened; `after` is (opened_us, id) of the last one seen."""
    query = _matching(select(_t.task), wanted)
    place = tuple_(_t.opened_us, _t.id)
    if after is not None:
        query = query.where(place > tuple_(literal(after[0]), literal(after[1])))
    rows = await connection.execute(query.order_by(_t.opened_us, _t.id).limit(count_max))
    return [decode_task(value) for value in rows.scalars()]


async def last_closed(connection: AsyncConnection, wanted: TaskFilter, *, count_max: int) -> list[Task]:
    """Tasks that are closed, the last one first."""
    query = _matching(select(_t.task), wanted).order_by(_t.closed_us.desc(), _t.id.desc())
    return [decode_task(value) for value in (await connection.execute(query.limit(count_max))).scalars()]


async def owners(connection: AsyncConnection, wanted: TaskFilter) -> dict[str | None, int]:
    """How many of the tasks each owner has."""
    query = _matching(select(_t.owner, func.count()), wanted).group_by(_t.owner)
    return {row[0]: int(row[1]) for row in await connection.execute(query)}


async def count(connection: AsyncConnection, wanted: TaskFilter) -> int:
    """How many tasks there are."""
    query = _matching(select(func.count()).select_from(schema.tasks), wanted)
    return int((await connection.execute(query)).scalar_one())


async def version(connection: AsyncConnection) -> str:
    """Changes with every change of any task that a list could show: has anything happened since?

    Every change leaves a line in the trail, but for calls that the outage guard lets go at once.
    """
    newest = select(func.max(schema.task_history.c.seq)).scalar_subquery()
    held = select(func.count()).where(_t.held.is_not(None)).scalar_subquery()
    row = (await connection.execute(select(newest, held))).one()
    return f"{row[0] or 0}.{row[1]}"


# The inbox: counted by contact window, and of each as many rows as are shown

_waiting: ColumnElement[str] = case(
    (_t.state == "snoozed", "snoozed"),
    (_t.held.startswith(PEERS), "peers"),
    (_t.held.startswith(DAY), ""),
    (_t.held.is_not(None), "held"),
    else_="",
).label("waiting")


async def groups(connection: AsyncConnection, wanted: TaskFilter) -> list[Group]:
    """The live tasks, counted."""
    query = _matching(select(_t.contact, _waiting, func.count()), wanted).where(_t.closed_us.is_(None))
    rows = await connection.execute(query.group_by(_t.contact, "waiting"))
    return [
        Group(contact=_contact(text), contact_text=text, waiting=waiting, count=count)
        for text, waiting, count in rows
    ]


async def surprising(
    connection: AsyncConnection,
    wanted: TaskFilter,
    waiting: Waiting,
    contact_texts: Collection[str],
    *,
    count_max: int,
) -> list[Task]:
    """Live tasks of these groups, the most surprising first; of snoozed ones, the first to come back."""
    query = _matching(select(_t.id), wanted).where(
        _t.closed_us.is_(None), _waiting.in_([waiting]), _t.contact.in_(sorted(contact_texts))
    )
    order = (_t.wake_us, _t.id) if waiting == "snoozed" else (_t.surprise.desc(), _t.opened_us, _t.id)
    ids = (await connection.execute(query.order_by(*order).limit(count_max))).scalars()
    return await _read(connection, list(ids))


async def silent_too(connection: AsyncConnection, task: Task, *, count_max: int) -> tuple[int, list[Task]]:
    """How many other customers of the product were found silent on the task's day, and some of them."""
    others = (
        _t.product == task.product,
        _t.day == task.trigger.data.day.isoformat(),
        _t.type == task.trigger.type,
        _t.customer_id != task.customer_id,
    )
    customers = func.count(_t.customer_id.distinct())
    total = int((await connection.execute(select(customers).where(*others))).scalar_one())
    query = select(_t.id).where(*others).order_by(_t.surprise.desc()).limit(count_max)
    some = await _read(connection, list((await connection.execute(query)).scalars()))
    return total, list({other.customer_id: other for other in some}.values())


async def _read(connection: AsyncConnection, ids: Sequence[str]) -> list[Task]:
    """These tasks, in this order. Ids first: sorting thousands of whole tasks to show a few takes long."""
    found = await connection.execute(select(_t.id, _t.task).where(_t.id.in_(ids)))
    by_id = {row.id: decode_task(row.task) for row in found}
    return [by_id[task_id] for task_id in ids if task_id in by_id]


@lru_cache(maxsize=4096)
def _contact(text: str) -> Contact:
    return msgspec.json.decode(text, type=Contact)


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
