"""Takes an embedded store along to Kafka and PostgreSQL: days, customers, tasks, keys, all but the log.

What the embedded log still holds unread is read first, so that the log itself can stay behind.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Integer, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.bootstrap import Foundations, assemble
from services.evaluator.worker import Evaluator
from services.foundations import DATABASE_NAME
from services.supervisor import Worker
from shared.clock import Clock
from shared.database import Database
from shared.errors import SetupError
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS, record_key
from shared.log import Log
from shared.partitioner import murmur2_partition
from shared.schema import log_records, metadata, outbox, positions

PartitionOf = Callable[[bytes, int], int]
"""The partition of a key among so many; has to be the one that the log appends by."""

ROWS_AT_ONCE = 2_000
ROUNDS_MAX = 1_000_000
READERS = ("evaluator", "relay", "notifier")
_STAY_BEHIND = frozenset({log_records.name, positions.name})
_MOVED = [table for table in metadata.sorted_tables if table.name not in _STAY_BEHIND]


def require_embedded(directory: Path) -> None:
    """Raises SetupError where there is no embedded store: opening one would make it."""
    if not (directory / DATABASE_NAME).is_file():
        raise SetupError(f"there is no {DATABASE_NAME} in {directory}; --from names a `serve`'s directory")


async def read_to_the_end(base: Foundations) -> None:
    """Folds and hands out what was accepted and not read yet; raises SetupError where that does not succeed.

    Time stands still meanwhile: nobody tells it, so nobody is judged who was not judged before.
    """
    assembly = assemble(base, ["evaluator", "notifier"])
    try:
        workers = [assembly.workers[name] for name in READERS]
        idle_rounds = 0
        for _ in range(ROUNDS_MAX):
            moved = [await worker.step() for worker in workers]
            idle_rounds = 0 if any(moved) else idle_rounds + 1
            # What one of them has done, the next one may have to hand on.
            if idle_rounds == len(workers):
                break
        _check_was_folded(assembly.workers["evaluator"])
    finally:
        await assembly.close()
    await _check_was_handed_out(base.database)


async def move(
    source: Database,
    target: Database,
    log: Log,
    clock: Clock,
    *,
    partition_of: PartitionOf = murmur2_partition,
) -> Mapping[str, int]:
    """Copies every table from `source` to `target`, whole or not at all; gives the rows by table.

    `log` is the target's: its partitions decide who will own whom, and every reader begins at what it holds
    now, with the time that the source knew. Raises SetupError where the target holds anything already.
    """
    partition_count = await log.partitions(TOPIC_EVENTS)
    places = await _places(source, log, partition_count, clock.now_us())
    counts = {}
    async with source.read() as reading, target.begin() as writing:
        await _check_empty(writing)
        for table in _MOVED:
            counts[table.name] = await _copy(table, reading, writing, partition_count, partition_of)
        await writing.execute(insert(positions), places)
        if not target.is_sqlite:
            await _continue_numbering(writing)
    return counts


def _check_was_folded(evaluator: Worker) -> None:
    # Its place in the database tells less: past records that change nothing it is written only now and then.
    assert isinstance(evaluator, Evaluator)
    owned = evaluator.partitions()
    if not owned or evaluator.awaiting_ticks().keys() != owned:
        why = next(iter(evaluator.problems()), "the evaluator is not done")
        raise SetupError(f"not everything that was accepted can be read: {why}")


async def _check_was_handed_out(database: Database) -> None:
    async with database.read() as connection:
        unsent = await connection.scalar(
            select(func.count()).select_from(outbox).where(outbox.c.sent_us.is_(None))
        )
        last = await connection.scalar(
            select(func.max(log_records.c.offset)).where(log_records.c.topic == TOPIC_TRIGGERS)
        )
        place = await connection.scalar(
            select(func.max(positions.c.next_offset)).where(positions.c.topic == TOPIC_TRIGGERS)
        )
    if unsent or (last is not None and (place or 0) <= last):
        raise SetupError("not every trigger has become a task; `usage-triggers serve` there says why")


async def _check_empty(connection: AsyncConnection) -> None:
    for table in (*_MOVED, positions):
        if await connection.scalar(select(1).select_from(table).limit(1)):
            raise SetupError(
                f"the database already holds {table.name}; move into an empty one, made by `migrate` alone"
            )


async def _places(source: Database, log: Log, partition_count: int, now_us: int) -> list[dict[str, Any]]:
    """Where the evaluator begins: at what the new log holds, at the time that the old one had reached.

    With the time at zero, the first records would be judged as if nothing had been judged before them.
    """
    async with source.read() as connection:
        watermark_us = await connection.scalar(
            select(func.max(positions.c.watermark_us)).where(positions.c.topic == TOPIC_EVENTS)
        )
    consumer = await log.consumer(TOPIC_EVENTS, "usage-triggers.moving")
    try:
        return [
            {
                "reader": "evaluator",
                "topic": TOPIC_EVENTS,
                "partition": partition,
                "next_offset": await consumer.beginning(partition),
                "watermark_us": watermark_us or 0,
                "updated_us": now_us,
            }
            for partition in range(partition_count)
        ]
    finally:
        await consumer.close()


async def _copy(
    table: Table,
    reading: AsyncConnection,
    writing: AsyncConnection,
    partition_count: int,
    partition_of: PartitionOf,
) -> int:
    count = 0
    async with reading.stream(select(table)) as result:
        async for rows in result.mappings().partitions(ROWS_AT_ONCE):
            moved = [
                moved
                for row in rows
                for moved in _in_its_partitions(dict(row), partition_count, partition_of)
            ]
            await writing.execute(insert(table), moved)
            count += len(rows)
    return count


def _in_its_partitions(
    row: dict[str, Any], partition_count: int, partition_of: PartitionOf
) -> list[dict[str, Any]]:
    """A customer's row goes where the customer's events will; what all of a product share, everywhere."""
    if "partition" not in row:
        return [row]
    if "customer_id" not in row:
        return [{**row, "partition": partition} for partition in range(partition_count)]
    key = record_key(row["product"], row["customer_id"])
    return [{**row, "partition": partition_of(key, partition_count)}]


async def _continue_numbering(connection: AsyncConnection) -> None:
    """PostgreSQL numbers on from where it was, which rows that bring their numbers do not move."""
    for table in _MOVED:
        for column in table.primary_key.columns:
            if column.autoincrement is True and isinstance(column.type, BigInteger | Integer):
                await connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                        f"coalesce(max({column.name}), 0) + 1, false) FROM {table.name}"
                    )
                )
