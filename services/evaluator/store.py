"""The evaluator's side of the database: positions, customers, days excused and the outbox.

A position row is the fence of its partition: every batch first moves `next_offset` from exactly where the
batch starts, and a batch that moves no row writes no other (decision record 0040).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Text, any_, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluator.changes import (
    Batch,
    CustomerKey,
    CustomerRow,
    OutboxRow,
    Position,
    SeenRules,
    UnsentRow,
)
from services.evaluator.statements import (
    ADOPT_PRODUCTS,
    END_FROZEN_OWNERS,
    INSERT_EXCUSED,
    INSERT_OUTBOX,
    MARK_SENT,
    RECORD_RULES,
    UPSERT_CUSTOMERS,
    run_bulk,
)
from shared import failpoints
from shared.database import Database
from shared.erasure import Receipt, erase_customer, receipt_of
from shared.errors import Fenced
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.schema import adopted_products, customers, excused_days, outbox, positions, seen_rules

READER = "evaluator"
_CUSTOMER = [customers.c[name] for name in CustomerRow.__struct_fields__]
IDS_PER_QUERY_MAX = 5_000
FROZEN_SECONDS = 5.0
"""A batch that stands still for so long within its transaction is nobody's any more."""

_UNSENT = [outbox.c[name] for name in UnsentRow.__struct_fields__]

Excused = Mapping[str, frozenset[int]]
"""Per product, the ordinals of its days excused."""


class EvaluatorStore:
    """All that an evaluator keeps. Every method is one transaction, and raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """Returns when the database answers."""
        async with self._database.read() as connection:
            await connection.execute(select(literal(1)))

    # The batch

    async def claim(self, partition: int, *, beginning: int, now_us: int) -> Position:
        """Where to read on; a partition never read before starts at `beginning`, the log's first offset."""
        async with self._database.begin() as connection:
            failpoints.hit("evaluator.claim.begun")
            await self._end_frozen_owner(connection, partition)
            await connection.execute(self._insert_position(partition, beginning, now_us))
            query = select(positions.c.next_offset, positions.c.watermark_us).where(*_place(partition))
            row = (await connection.execute(query)).one()
        failpoints.hit("evaluator.claim.committed")
        return Position(partition=partition, next_offset=row.next_offset, watermark_us=row.watermark_us)

    async def write(self, batch: Batch, *, now_us: int) -> None:
        """Apply the batch whole or not at all.

        Raises Fenced when the partition no longer stands at `expected_offset`, and StoreUnavailable, after
        which only `claim` can tell whether the batch was applied.
        """
        async with self._database.begin() as connection:
            await _move(connection, batch, now_us)
            failpoints.hit("evaluator.batch.fenced")
            await _write_rows(connection, batch, now_us)
            failpoints.hit("evaluator.batch.written")
        failpoints.hit("evaluator.batch.committed")

    # What a batch needs to know

    async def load(self, keys: Collection[CustomerKey]) -> dict[CustomerKey, CustomerRow]:
        """The rows of those of `keys` that are known."""
        by_product: dict[str, list[str]] = {}
        for product, customer_id in keys:
            by_product.setdefault(product, []).append(customer_id)
        found: dict[CustomerKey, CustomerRow] = {}
        async with self._database.read() as connection:
            for product, customer_ids in by_product.items():
                for start in range(0, len(customer_ids), IDS_PER_QUERY_MAX):
                    some = customer_ids[start : start + IDS_PER_QUERY_MAX]
                    rows = await connection.execute(self._of_customers(product, some))
                    found.update((row.key, row) for row in map(_customer_row, rows))
        return found

    async def due(
        self, partition: int, products: Collection[str], *, before_us: int, rows_max: int
    ) -> list[CustomerRow]:
        """The customers whose `due_us` lies before `before_us`, the longest due first.

        Customers of other products than `products` wait until the configuration names theirs again.
        """
        query = (
            select(*_CUSTOMER)
            .where(customers.c.partition == partition, customers.c.product.in_(products))
            .where(customers.c.due_us < before_us)
            .order_by(customers.c.due_us)
            .limit(rows_max)
        )
        async with self._database.read() as connection:
            return [_customer_row(row) for row in await connection.execute(query)]

    async def next_due_us(self, partition: int, products: Collection[str]) -> int | None:
        """The earliest `due_us` of the partition; None when nobody is waited for."""
        query = (
            select(customers.c.due_us)
            .where(customers.c.partition == partition, customers.c.product.in_(products))
            .where(customers.c.due_us.is_not(None))
            .order_by(customers.c.due_us)
            .limit(1)
        )
        async with self._database.read() as connection:
            due_us: int | None = (await connection.execute(query)).scalar_one_or_none()
        return due_us

    async def excused(self, partition: int) -> Excused:
        """The days excused that this partition has read."""
        query = select(excused_days.c.product, excused_days.c.day)
        found: dict[str, set[int]] = {}
        async with self._database.read() as connection:
            for row in await connection.execute(query.where(excused_days.c.partition == partition)):
                found.setdefault(row.product, set()).add(date.fromisoformat(row.day).toordinal())
        return {product: frozenset(days) for product, days in found.items()}

    async def adopted(self, partition: int) -> dict[str, str]:
        """Per product, the key of the rules by which this partition's customers were last looked at."""
        query = select(adopted_products.c.product, adopted_products.c.key)
        async with self._database.read() as connection:
            rows = await connection.execute(query.where(adopted_products.c.partition == partition))
            return {row.product: row.key for row in rows}

    async def seen_rules(self, product: str) -> list[SeenRules]:
        """Every set of rules of a product by which customers were looked at, the one taken up last first."""
        query = (
            select(seen_rules).where(seen_rules.c.product == product).order_by(seen_rules.c.last_us.desc())
        )
        async with self._database.read() as connection:
            return [
                SeenRules(key=row.key, rules=row.rules, first_us=row.first_us, last_us=row.last_us)
                for row in await connection.execute(query)
            ]

    # The outbox

    async def unsent(self, topic: str, partitions: Collection[int], *, rows_max: int) -> list[UnsentRow]:
        """The oldest rows of a topic, of these partitions, that are not marked sent, in the order decided."""
        query = (
            select(*_UNSENT)
            .where(outbox.c.sent_us.is_(None), outbox.c.topic == topic)
            .where(outbox.c.partition.in_(sorted(partitions)))
            .order_by(outbox.c.seq)
            .limit(rows_max)
        )
        async with self._database.read() as connection:
            return [UnsentRow(**row._mapping) for row in await connection.execute(query)]

    async def mark_sent(self, seqs: Sequence[int], *, now_us: int) -> None:
        """The log has acknowledged these rows."""
        async with self._database.begin() as connection:
            await run_bulk(connection, MARK_SENT, [(now_us, seq) for seq in seqs])

    # For whoever asks about a customer

    async def customer(self, product: str, customer_id: str) -> CustomerRow | None:
        """A customer as of its last change; None where none of its events was folded yet."""
        return (await self.load([(product, customer_id)])).get((product, customer_id))

    async def triggers(self, product: str, customer_id: str, *, rows_max: int) -> list[bytes]:
        """The newest triggers of a customer as they are sent, the oldest of them first."""
        query = (
            select(outbox.c.value)
            .where(
                outbox.c.product == product,
                outbox.c.customer_id == customer_id,
                outbox.c.topic == TOPIC_TRIGGERS,
            )
            .order_by(outbox.c.seq.desc())
            .limit(rows_max)
        )
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())[::-1]

    async def receipt(self, product: str, receipt_id: str) -> Receipt | None:
        """What an erasure took away; None where it was not folded yet, or is another product's."""
        return await receipt_of(self._database, product, receipt_id)

    # The two dialects

    async def _end_frozen_owner(self, connection: AsyncConnection, partition: int) -> None:
        """The partition is ours by now: a transaction in which its last owner froze must not keep us out."""
        if not self._database.is_sqlite:
            place = {"reader": READER, "topic": TOPIC_EVENTS, "partition": partition}
            await connection.execute(END_FROZEN_OWNERS, {**place, "frozen_seconds": FROZEN_SECONDS})

    def _insert_position(self, partition: int, beginning: int, now_us: int) -> Any:
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        row = {"reader": READER, "topic": TOPIC_EVENTS, "partition": partition}
        return (
            insert(positions)
            .values(**row, next_offset=beginning, watermark_us=0, updated_us=now_us)
            .on_conflict_do_nothing()
        )

    def _of_customers(self, product: str, customer_ids: list[str]) -> Any:
        query = select(*_CUSTOMER).where(customers.c.product == product)
        if self._database.is_sqlite:
            return query.where(customers.c.customer_id.in_(customer_ids))
        # One array, and so one statement to prepare, however many there are.
        return query.where(customers.c.customer_id == any_(literal(customer_ids, postgresql.ARRAY(Text))))


def _place(partition: int) -> tuple[Any, ...]:
    return (
        positions.c.reader == READER,
        positions.c.topic == TOPIC_EVENTS,
        positions.c.partition == partition,
    )


async def _move(connection: AsyncConnection, batch: Batch, now_us: int) -> None:
    """The fence. It comes first, so that a batch that has lost its partition waits for nothing else."""
    position = batch.position
    moved = await connection.execute(
        update(positions)
        .where(*_place(position.partition), positions.c.next_offset == batch.expected_offset)
        .values(
            next_offset=position.next_offset,
            watermark_us=position.watermark_us,
            updated_us=now_us,
        )
    )
    if moved.rowcount != 1:
        # PostgreSQL would commit the rest without a word; another worker has the partition now.
        raise Fenced(
            f"{TOPIC_EVENTS}/{position.partition} no longer stands at offset {batch.expected_offset}"
        )


async def _write_rows(connection: AsyncConnection, batch: Batch, now_us: int) -> None:
    partition = batch.position.partition
    for asked in batch.erased:
        await erase_customer(connection, asked, now_us)
    await run_bulk(connection, UPSERT_CUSTOMERS, [_values(row) for row in batch.customers])
    excused = [(partition, product, day) for product, day in batch.excused]
    await run_bulk(connection, INSERT_EXCUSED, excused)
    adopted = [(partition, product, key) for product, key, _ in batch.adopted]
    await run_bulk(connection, ADOPT_PRODUCTS, adopted)
    await run_bulk(connection, RECORD_RULES, [(*adopted, now_us, now_us) for adopted in batch.adopted])
    for product in batch.recalled:
        await _recall(connection, product, batch.position)
    await run_bulk(
        connection, INSERT_OUTBOX, [_outbox_values(row, partition, now_us) for row in batch.outbox]
    )


async def _recall(connection: AsyncConnection, product: str, position: Position) -> None:
    """Every customer of the product becomes due for the sweep of the watermark as it stands."""
    await connection.execute(
        update(customers)
        .where(customers.c.partition == position.partition, customers.c.product == product)
        .values(due_us=position.watermark_us - 1)
    )


def _values(row: CustomerRow) -> tuple[Any, ...]:
    return row.product, row.customer_id, row.partition, row.due_us, row.state


def _outbox_values(row: OutboxRow, partition: int, now_us: int) -> tuple[Any, ...]:
    place = (row.product, row.customer_id, partition)
    return row.id, row.topic, *place, row.value, now_us, row.traceparent


def _customer_row(row: Sequence[Any]) -> CustomerRow:
    # Taken apart by place: at a midnight there are a million, and by name it takes four times as long.
    product, customer_id, partition, due_us, state = row
    return CustomerRow(
        product=product, customer_id=customer_id, partition=partition, due_us=due_us, state=state
    )
