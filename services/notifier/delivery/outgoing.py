"""Deliveries in the database: claimed with a lease, recorded with how they ended."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.delivery.bundling import Waiting
from services.notifier.store.places import decisions
from services.notifier.store.rows import decode_task, delivery_from_row
from services.notifier.tasks.announce import ENDS, Delivery
from services.notifier.tasks.lifecycle import Task
from shared import schema, tracing
from shared.triggers import Trigger, decode_trigger

_d = schema.deliveries.c


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours until its lease ends; task and trigger are None where they were erased."""

    delivery: Delivery
    task: Task | None
    trigger: Trigger | None
    value: bytes
    traceparent: str | None = None


MarkState = Literal["pending", "delivered", "dead", "cancelled"]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a claimed delivery. `lease_until_us` proves whose it is."""

    delivery_id: str
    lease_until_us: int
    state: MarkState
    next_attempt_us: int | None = None
    delivered_us: int | None = None
    uncertain: bool = False
    reference: str = ""
    last_error: str = ""
    counts: bool = True


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the attempt log; `took_us` from the first byte out to the verdict."""

    delivery_id: str
    at_us: int
    result: str
    detail: str
    took_us: int


async def claim(
    connection: AsyncConnection, rooms: Mapping[str, int], *, now_us: int, lease_us: int
) -> list[Claim]:
    """Takes due deliveries, up to `rooms[channel]` of each channel, the longest due first.

    A row whose lease ran out was being sent when its worker died: it may have arrived, and is sent again.
    """
    claimed: list[str] = []
    for channel, room in sorted(rooms.items()):
        due = _due(channel, now_us).order_by(_d.next_attempt_us).limit(room)
        claimed += await _take(connection, due.with_for_update(skip_locked=True), now_us, lease_us)
    return await _claims(connection, _CLAIMS.where(_d.id.in_(claimed))) if claimed else []


async def claim_these(
    connection: AsyncConnection, channel: str, ids: Sequence[str], *, now_us: int, lease_us: int
) -> list[Claim]:
    """As `claim`, of a channel the deliveries chosen from those that wait."""
    chosen = _due(channel, now_us).where(_d.id.in_(ids)).with_for_update(skip_locked=True)
    claimed = await _take(connection, chosen, now_us, lease_us)
    return await _claims(connection, _CLAIMS.where(_d.id.in_(claimed))) if claimed else []


def _due(channel: str, now_us: int) -> Select[tuple[str]]:
    return select(_d.id).where(_d.channel == channel, _d.next_attempt_us <= now_us)


async def _take(
    connection: AsyncConnection, due: Select[tuple[str]], now_us: int, lease_us: int
) -> list[str]:
    taken = (
        update(schema.deliveries)
        .where(_d.id.in_(due))
        .values(
            uncertain=case((_d.lease_until_us.is_not(None), literal(1)), else_=_d.uncertain),
            lease_until_us=now_us + lease_us,
            next_attempt_us=now_us + lease_us,
            attempt_count=_d.attempt_count + 1,
        )
        .returning(_d.id)
    )
    return list((await connection.execute(taken)).scalars())


def _is_end() -> ColumnElement[bool]:
    return _d.kind.in_(ENDS)


def _reference() -> ColumnElement[str]:
    """What the message is called that an end belongs to, where that became known only after it was made."""
    shown = schema.deliveries.alias("shown")
    found = (
        select(shown.c.reference)
        .where(shown.c.task_id == _d.task_id, shown.c.channel == _d.channel)
        .where(shown.c.reference != "", shown.c.kind.not_in(ENDS))
        .order_by(shown.c.created_us.desc())
        .limit(1)
        .scalar_subquery()
    )
    is_sought = and_(_is_end(), _d.reference == "")
    return case((is_sought, func.coalesce(found, "")), else_=_d.reference).label("reference")


# Made once: SQLAlchemy takes longer to make these than a database to answer them.
_REFERENCE = _reference()
_CLAIMS = (
    select(
        *(column for column in _d if column.name != "reference"),
        _REFERENCE,
        schema.tasks.c.task,
        schema.task_triggers.c.value,
    )
    .select_from(
        schema.deliveries.outerjoin(schema.tasks, schema.tasks.c.id == _d.task_id).outerjoin(
            schema.task_triggers, schema.task_triggers.c.trigger_id == _d.trigger_id
        )
    )
    .order_by(_d.created_us, _d.id)
)
_REREAD = _CLAIMS.where(_d.id == bindparam("its_id"))


async def waiting(connection: AsyncConnection, channel: str, *, now_us: int, count_max: int) -> list[Waiting]:
    """What is due on a channel, new announcements before ends, the longest due first."""
    query = (
        select(_d.id, _d.kind, _REFERENCE, schema.tasks.c.owner)
        .select_from(schema.deliveries.outerjoin(schema.tasks, schema.tasks.c.id == _d.task_id))
        .where(_d.channel == channel, _d.next_attempt_us <= now_us)
        .order_by(_is_end(), _d.next_attempt_us, _d.id)
        .limit(count_max)
    )
    rows = await connection.execute(query)
    return [Waiting(id=row.id, kind=row.kind, reference=row.reference, owner=row.owner or "") for row in rows]


async def shown(connection: AsyncConnection, channel: str, reference: str) -> list[Claim]:
    """Everything that one message speaks of, in the order in which it was said."""
    is_in_it = and_(_d.channel == channel, _d.reference == reference, _d.reference != "")
    return await _claims(connection, _CLAIMS.where(is_in_it, _d.kind.not_in(ENDS)))


async def _claims(
    connection: AsyncConnection, query: Select[Any], values: Mapping[str, Any] | None = None
) -> list[Claim]:
    rows = (await connection.execute(query, values)).mappings().all()
    decided = await decisions(connection, {row["trigger_id"] for row in rows}) if tracing.is_on() else {}
    return [_claim_from_row(row, decided.get(row["trigger_id"])) for row in rows]


async def reread(connection: AsyncConnection, delivery: Delivery) -> Claim | None:
    """A claimed delivery as it is by now; None where it is not ours any more."""
    found = await _claims(connection, _REREAD, {"its_id": delivery.id})
    is_ours = bool(found) and found[0].delivery.lease_until_us == delivery.lease_until_us
    return found[0] if is_ours and found[0].delivery.state == "pending" else None


def _claim_from_row(row: RowMapping, traceparent: str | None) -> Claim:
    value = row["value"] or b""
    return Claim(
        delivery=delivery_from_row(row),
        task=decode_task(row["task"]) if row["task"] is not None else None,
        trigger=decode_trigger(value) if value else None,
        value=bytes(value),
        traceparent=traceparent,
    )


async def record(connection: AsyncConnection, marks: Sequence[Mark], attempts: Sequence[Attempt]) -> None:
    """Writes how claimed deliveries ended.

    Losing the race is normal and needs no answer: where the lease is not ours any more somebody else
    has the delivery. Where it was withdrawn while we were sending, only that it arrived is still news.
    """
    ordered = sorted(marks, key=lambda mark: mark.delivery_id)
    arrived = [_mark_row(mark) for mark in ordered if mark.state == "delivered"]
    if arrived:
        await connection.execute(_ARRIVED, arrived)
    others = [_mark_row(mark) for mark in ordered if mark.state != "delivered"]
    if others:
        await connection.execute(_OTHERWISE, others)
    if attempts:
        await connection.execute(insert(schema.attempts), [msgspec.structs.asdict(a) for a in attempts])


def _recording(*states: str) -> Update:
    return (
        update(schema.deliveries)
        .where(_d.id == bindparam("its_id"), _d.lease_until_us == bindparam("its_lease"))
        .where(or_(*(_d.state == state for state in states)))
        .values(
            state=bindparam("new_state"),
            next_attempt_us=bindparam("at_us"),
            lease_until_us=None,
            delivered_us=bindparam("arrived_us"),
            uncertain=bindparam("unsure"),
            reference=bindparam("called"),
            last_error=bindparam("said"),
            attempt_count=_d.attempt_count - bindparam("uncounted"),
        )
    )


_ARRIVED = _recording("pending", "cancelled")
_OTHERWISE = _recording("pending")


def _mark_row(mark: Mark) -> dict[str, Any]:
    return {
        "its_id": mark.delivery_id,
        "its_lease": mark.lease_until_us,
        "new_state": mark.state,
        "at_us": mark.next_attempt_us,
        "arrived_us": mark.delivered_us,
        "unsure": int(mark.uncertain),
        "called": mark.reference,
        "said": mark.last_error,
        "uncounted": 0 if mark.counts else 1,
    }


async def bury(connection: AsyncConnection, channel: str, reason: str, *, now_us: int) -> int:
    """Gives up every due delivery of a channel that takes none; each can be replayed later."""
    buried = await connection.execute(
        update(schema.deliveries)
        .where(_d.channel == channel, _d.next_attempt_us <= now_us, _d.state == "pending")
        .values(state="dead", next_attempt_us=None, lease_until_us=None, last_error=reason)
    )
    return buried.rowcount


async def due_channels(connection: AsyncConnection, now_us: int) -> list[str]:
    """The names of the channels for which something is due, known or not."""
    query = select(_d.channel).where(_d.next_attempt_us <= now_us).distinct()
    return list((await connection.execute(query)).scalars())
