"""What is known of the topic: how far it is read, which triggers still stand, what could not be read."""

from collections.abc import Collection, Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store.rows import insert_into, slices
from shared import schema
from shared.errors import Fenced
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS, DeadLetter, encode

READER = "notifier"


async def position(connection: AsyncConnection, partition: int) -> int | None:
    """The offset at which to go on; None where this partition was never read."""
    p = schema.positions.c
    query = select(p.next_offset).where(
        p.reader == READER, p.topic == TOPIC_TRIGGERS, p.partition == partition
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def move_position(
    connection: AsyncConnection, partition: int, *, first: int, next_offset: int, now_us: int
) -> None:
    """Moves the position from exactly `first` to `next_offset`; the fence of a batch.

    Raises Fenced where it is not there any more: another worker owns the partition, and whatever
    else this transaction wrote must be rolled back.
    """
    p = schema.positions
    moved = await connection.execute(
        update(p)
        .where(p.c.reader == READER, p.c.topic == TOPIC_TRIGGERS, p.c.partition == partition)
        .where(p.c.next_offset == first)
        .values(next_offset=next_offset, updated_us=now_us)
    )
    if moved.rowcount == 1:
        return
    raise Fenced(f"{TOPIC_TRIGGERS}/{partition} is not at {first} any more")


async def create_position(connection: AsyncConnection, partition: int, at: int, now_us: int) -> int:
    """The position of a partition, made at `at` where there was none; another worker's wins."""
    row = {
        "reader": READER,
        "topic": TOPIC_TRIGGERS,
        "partition": partition,
        "next_offset": at,
        "updated_us": now_us,
    }
    await connection.execute(insert_into(connection, schema.positions).on_conflict_do_nothing(), row)
    found = await position(connection, partition)
    return at if found is None else found


async def standing(connection: AsyncConnection, trigger_ids: Collection[str]) -> set[str]:
    """Which of these triggers are still on record, kept there until the transaction ends.

    An erasure takes a customer's triggers off the record first and its tasks afterwards, so whichever of
    the two transactions comes first, no task of an erased customer is left behind.
    """
    o = schema.outbox.c
    found: set[str] = set()
    for some in slices(trigger_ids):
        query = select(o.id).where(o.id.in_(some)).order_by(o.id)
        found.update((await connection.execute(query.with_for_update(read=True, key_share=True))).scalars())
    return found


async def decisions(connection: AsyncConnection, trigger_ids: Collection[str]) -> dict[str, str]:
    """Of those of these triggers whose decision is traced, its context."""
    o = schema.outbox.c
    found: dict[str, str] = {}
    for some in slices(trigger_ids):
        query = select(o.id, o.traceparent).where(o.id.in_(some), o.traceparent.is_not(None))
        found.update((row.id, row.traceparent) for row in await connection.execute(query))
    return found


async def write_dead_letters(connection: AsyncConnection, letters: Sequence[DeadLetter]) -> None:
    """Puts what could not be read into the outbox, from where it is relayed to the dead letters' topic."""
    rows = [
        {
            "id": letter.id,
            "topic": TOPIC_DEAD_LETTERS,
            "product": letter.product,
            "customer_id": letter.customer_id or "",
            "value": encode(letter),
            "created_us": letter.rejected_us,
        }
        for letter in letters
    ]
    if rows:
        await connection.execute(insert_into(connection, schema.outbox).on_conflict_do_nothing(), rows)
