"""What went out, for people: deliveries and their attempts listed, and sent again."""

from collections.abc import Collection, Iterator

import msgspec
from sqlalchemy import ColumnElement, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.delivery import channel_rows
from services.notifier.delivery.outgoing import Attempt
from services.notifier.store.rows import delivery_from_row
from services.notifier.tasks.announce import Delivery
from shared import schema

_d = schema.deliveries.c
_a = schema.attempts.c


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


async def attempts_of(connection: AsyncConnection, delivery_ids: Collection[str]) -> dict[str, list[Attempt]]:
    """The attempt logs of deliveries, each oldest first."""
    query = select(schema.attempts).where(_a.delivery_id.in_(sorted(delivery_ids))).order_by(_a.seq)
    found: dict[str, list[Attempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    for row in (await connection.execute(query)).mappings():
        attempt = Attempt(**{name: row[name] for name in Attempt.__struct_fields__})
        found[attempt.delivery_id].append(attempt)
    return found


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
        .returning(_d.channel)
    )
    channels = list(replayed.scalars())
    # Whoever sends again has mended something: it need not wait until we have found that out.
    await channel_rows.wake(connection, set(channels))
    return len(channels)


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
