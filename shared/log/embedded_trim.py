"""Deletes the embedded log's oldest records, a bounded number a transaction."""

from sqlalchemy import Select, func, select

from shared.database import Database
from shared.schema import log_records, positions

RECORDS_PER_TRIM_MAX = 20_000
"""A trim gives the writer's place back after this many records, so that appends do not wait for it."""

_table = log_records.c


async def trim_some(database: Database, topic: str, partition: int, before_us: int, keep_from: int) -> int:
    """One bounded deletion. Each query walks a few keys of the table, however many records it holds."""
    here = (_table.topic == topic, _table.partition == partition)
    async with database.begin() as connection:
        first = await connection.scalar(select(func.min(_table.offset)).where(*here))
        newest = await connection.scalar(select(func.max(_table.offset)).where(*here))
        if first is None or newest is None:
            return 0
        unread = await connection.scalar(_first_unread(topic, partition))
        bounds = (keep_from, newest, first + RECORDS_PER_TRIM_MAX, unread)
        bound = min(offset for offset in bounds if offset is not None)
        old = (*here, _table.offset < bound)
        young = await connection.scalar(
            select(func.min(_table.offset)).where(*old, _table.appended_us >= before_us)
        )
        if young is not None:
            old = (*here, _table.offset < young)
        return (await connection.execute(log_records.delete().where(*old))).rowcount


def _first_unread(topic: str, partition: int) -> Select[tuple[int | None]]:
    return select(func.min(positions.c.next_offset)).where(
        positions.c.topic == topic, positions.c.partition == partition
    )
