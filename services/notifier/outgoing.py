"""Deliveries in the database: claimed with a lease, recorded with how they ended, listed and replayed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Update,
    bindparam,
    case,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.announce import Delivery
from services.notifier.store import decode_task, delivery_from_row, upsert
from services.notifier.tasks import Task
from shared import schema
from shared.triggers import Trigger, decode_trigger

_d = schema.deliveries.c


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours until its lease ends; task and trigger are None where they were erased."""

    delivery: Delivery
    task: Task | None
    trigger: Trigger | None
    value: bytes


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


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint has told us: disabled (410), or failing so often that it is given a rest."""

    channel: str
    disabled_us: int | None = None
    reason: str = ""
    failure_count: int = 0
    open_until_us: int | None = None


async def claim(
    connection: AsyncConnection, rooms: Mapping[str, int], *, now_us: int, lease_us: int
) -> list[Claim]:
    """Takes due deliveries, up to `rooms[channel]` of each channel, the longest due first.

    A row whose lease ran out was being sent when its worker died: it may have arrived, and is sent again.
    """
    claimed: list[str] = []
    for channel, room in sorted(rooms.items()):
        due = (
            select(_d.id)
            .where(_d.channel == channel, _d.next_attempt_us <= now_us)
            .order_by(_d.next_attempt_us)
            .limit(room)
            .with_for_update(skip_locked=True)
        )
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
        claimed += (await connection.execute(taken)).scalars()
    return await _claims(connection, claimed) if claimed else []


async def _claims(connection: AsyncConnection, ids: Sequence[str]) -> list[Claim]:
    d, t, k = schema.deliveries, schema.tasks, schema.task_triggers
    query = (
        select(d, t.c.task, k.c.value)
        .select_from(d.outerjoin(t, t.c.id == d.c.task_id).outerjoin(k, k.c.trigger_id == d.c.trigger_id))
        .where(d.c.id.in_(ids))
        .order_by(d.c.created_us, d.c.id)
    )
    return [_claim_from_row(row) for row in (await connection.execute(query)).mappings()]


async def reread(connection: AsyncConnection, delivery: Delivery) -> Claim | None:
    """A claimed delivery as it is by now; None where it is not ours any more."""
    found = await _claims(connection, [delivery.id])
    is_ours = bool(found) and found[0].delivery.lease_until_us == delivery.lease_until_us
    return found[0] if is_ours and found[0].delivery.state == "pending" else None


def _claim_from_row(row: RowMapping) -> Claim:
    value = row["value"] or b""
    return Claim(
        delivery=delivery_from_row(row),
        task=decode_task(row["task"]) if row["task"] is not None else None,
        trigger=decode_trigger(value) if value else None,
        value=bytes(value),
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


async def channel_states(connection: AsyncConnection) -> dict[str, ChannelState]:
    """What is known of channels that have ever been in trouble."""
    rows = (await connection.execute(select(schema.channel_states))).mappings()
    return {row["channel"]: ChannelState(**dict(row)) for row in rows}


async def put_channel_state(connection: AsyncConnection, state: ChannelState) -> None:
    """Writes what is now known of a channel."""
    values = msgspec.structs.asdict(state)
    await connection.execute(upsert(connection, schema.channel_states, ["channel"], values), [values])


# For people: what went out, and again


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are meant; None: any. Instants in microseconds, from included, to excluded."""

    product: str | None = None
    state: str | None = None
    channel: str | None = None
    from_us: int | None = None
    to_us: int | None = None


async def deliveries(
    connection: AsyncConnection,
    wanted: DeliveryFilter,
    *,
    count_max: int,
    after: tuple[int, str] | None = None,
) -> list[Delivery]:
    """Deliveries, newest first; `after` is (created_us, id) of the last one seen."""
    query = select(schema.deliveries).where(*_conditions(wanted))
    if after is not None:
        query = query.where(tuple_(_d.created_us, _d.id) < tuple_(literal(after[0]), literal(after[1])))
    query = query.order_by(_d.created_us.desc(), _d.id.desc()).limit(count_max)
    return [delivery_from_row(row) for row in (await connection.execute(query)).mappings()]


async def delivery(connection: AsyncConnection, delivery_id: str) -> Delivery | None:
    """The delivery of this id."""
    query = select(schema.deliveries).where(_d.id == delivery_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    return delivery_from_row(row) if row is not None else None


async def attempts_of(connection: AsyncConnection, delivery_id: str) -> list[Attempt]:
    """The attempt log of a delivery, oldest first."""
    a = schema.attempts
    rows = await connection.execute(select(a).where(a.c.delivery_id == delivery_id).order_by(a.c.seq))
    return [
        Attempt(
            delivery_id=row.delivery_id,
            at_us=row.at_us,
            result=row.result,
            detail=row.detail,
            took_us=row.took_us,
        )
        for row in rows
    ]


async def replay(
    connection: AsyncConnection, wanted: DeliveryFilter, *, now_us: int, delivery_id: str | None = None
) -> int:
    """Sends dead and delivered ones again, with the same id; a pending one comes at once. Returns how many.

    A delivery named by its id is replayed whatever its state; a range takes the dead ones alone
    unless the filter says otherwise.
    """
    conditions = list(_conditions(wanted))
    if delivery_id is not None:
        conditions.append(_d.id == delivery_id)
    elif wanted.state is None:
        conditions.append(_d.state == "dead")
    replayed = await connection.execute(
        update(schema.deliveries)
        .where(*conditions)
        .where(_d.state != "held")
        .values(state="pending", next_attempt_us=now_us, attempt_count=0, lease_until_us=None, replayed=1)
    )
    return replayed.rowcount


async def enable(connection: AsyncConnection, channel: str) -> None:
    """Takes a disabled channel into use again."""
    await put_channel_state(connection, ChannelState(channel=channel))


def _conditions(wanted: DeliveryFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.product is not None:
        yield _d.product == wanted.product
    if wanted.state is not None:
        yield _d.state == wanted.state
    if wanted.channel is not None:
        yield _d.channel == wanted.channel
    if wanted.from_us is not None:
        yield _d.created_us >= wanted.from_us
    if wanted.to_us is not None:
        yield _d.created_us < wanted.to_us
