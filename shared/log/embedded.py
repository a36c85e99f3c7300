"""The log as a table of the same SQLite file that holds everything else: for one process.

Many calls become one transaction (group commit): while one is being written to the disk the next
calls gather, so the price of an fsync is shared by whoever came meanwhile. The newest record of a
partition is never deleted; its offset and time are where the next one goes on.

Members of a group share the partitions within this process only; a second process on the same file
would read everything too, and the fence of the stored position would refuse its batches.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import failpoints
from shared.clock import Clock
from shared.database import Database
from shared.errors import LogUnavailable, StoreUnavailable
from shared.log import Message, Record
from shared.log.embedded_consumer import EmbeddedConsumer
from shared.log.embedded_trim import trim_some
from shared.log.waiting import BYTES_WAITING_MAX, Room, acknowledged, size_of
from shared.partitioner import crc32_partition
from shared.schema import log_records

APPEND_TIMEOUT_SECONDS = 15.0
MESSAGES_PER_TRANSACTION_MAX = 20_000

_INSERT = (
    'INSERT INTO log_records (topic, "partition", "offset", appended_us, key, value, traceparent) '
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_table = log_records.c
# Built once: whoever reads asks it several times a second, and building it takes longer than its answer.
_RECORDS = (
    select(*(_table[name] for name in Record.__struct_fields__))
    .where(
        _table.topic == bindparam("of_topic"),
        _table.partition == bindparam("of_partition"),
        _table.offset >= bindparam("since"),
    )
    .order_by(_table.offset)
    .limit(bindparam("count_max"))
)


class _Call:
    """One append that waits for its transaction."""

    __slots__ = ("acknowledgement", "messages", "size", "topic")

    def __init__(self, topic: str, messages: Sequence[Message]) -> None:
        self.topic = topic
        self.messages = messages
        self.size = size_of(messages)
        self.acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, error: LogUnavailable | None) -> None:
        if self.acknowledgement.done():
            return
        if error is None:
            self.acknowledgement.set_result(None)
        else:
            self.acknowledgement.set_exception(error)


class EmbeddedLog:
    """Appends to and reads from `log_records`; `partitions` is fixed for the life of the file."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        partitions: int = 1,
        bytes_waiting_max: int = BYTES_WAITING_MAX,
        append_timeout_seconds: float = APPEND_TIMEOUT_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._partition_count = partitions
        self._append_timeout_seconds = append_timeout_seconds
        self._room = Room(bytes_waiting_max)
        self._calls: deque[_Call] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._news: dict[str, asyncio.Event] = {}
        self._groups: dict[tuple[str, str], list[EmbeddedConsumer]] = {}
        self._keyless_count = 0
        self._is_closed = False

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        if not messages:
            return
        self._check_partitions(messages)
        call = _Call(topic, messages)
        self._room.take(call.size)
        self._calls.append(call)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await acknowledged(call.acknowledgement, self._append_timeout_seconds)

    async def partitions(self, topic: str) -> int:
        return self._partition_count

    async def ends(self, topic: str) -> Mapping[int, int]:
        return {partition: await self.end(topic, partition) for partition in range(self._partition_count)}

    async def consumer(self, topic: str, group: str) -> EmbeddedConsumer:
        member = EmbeddedConsumer(self, topic, group)
        self._groups.setdefault((topic, group), []).append(member)
        self._share_partitions(topic, group)
        return member

    async def check(self) -> None:
        await self._read(select(literal(1)))

    async def close(self) -> None:
        """Write what waits, then take nothing more; the database stays open, it is not ours."""
        self._is_closed = True
        if self._flushing is not None:
            await self._flushing
        for members in list(self._groups.values()):
            for member in list(members):
                await member.close()

    async def trim(self, topic: str, before_us: int, keep_from: Mapping[int, int]) -> int:
        """Delete records appended before `before_us`; returns how many.

        In each partition named in `keep_from` nothing at or after that offset is deleted, nothing
        that a reader has yet to read (`positions`), and never the newest record.
        """
        trimmed_count = 0
        for partition, offset in keep_from.items():
            while deleted_count := await trim_some(self._database, topic, partition, before_us, offset):
                trimmed_count += deleted_count
        return trimmed_count

    # Appending

    def _check_partitions(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.partition is not None and not 0 <= message.partition < self._partition_count:
                raise ValueError(f"no partition {message.partition}, there are {self._partition_count}")

    def _partition_of(self, message: Message) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is not None:
            return crc32_partition(message.key, self._partition_count)
        self._keyless_count += 1
        return self._keyless_count % self._partition_count

    async def _flush(self) -> None:
        """Write until nothing waits; one transaction for all that gathered during the one before."""
        try:
            while self._calls:
                await self._flush_some(self._gather())
        finally:
            self._flushing = None

    async def _flush_some(self, calls: list[_Call]) -> None:
        outcome: LogUnavailable | None = LogUnavailable("the log stopped while it was being written")
        try:
            outcome = await self._write(calls)
        finally:
            self._room.give(sum(call.size for call in calls))
            for call in calls:
                call.settle(outcome)
            for topic in {call.topic for call in calls}:
                self._announce(topic)

    def _gather(self) -> list[_Call]:
        calls: list[_Call] = []
        message_count = 0
        while self._calls and message_count < MESSAGES_PER_TRANSACTION_MAX:
            calls.append(self._calls.popleft())
            message_count += len(calls[-1].messages)
        return calls

    async def _write(self, calls: list[_Call]) -> LogUnavailable | None:
        try:
            async with self._database.begin() as connection:
                rows = await self._rows(connection, calls)
                await connection.exec_driver_sql(_INSERT, rows)
                failpoints.hit("log.append.begun")
            failpoints.hit("log.append.committed")
        except (StoreUnavailable, SQLAlchemyError) as error:
            # A full disk, a read-only one, a damaged file: whoever sent it has to know that it is not
            # safe, and may try again once somebody has seen to it.
            return LogUnavailable(f"the log cannot be written: {_first_line(error)}")
        return None

    async def _rows(self, connection: AsyncConnection, calls: list[_Call]) -> list[tuple[Any, ...]]:
        now_us = self._clock.now_us()
        heads: dict[tuple[str, int], tuple[int, int]] = {}
        rows: list[tuple[Any, ...]] = []
        for call in calls:
            for message in call.messages:
                place = (call.topic, self._partition_of(message))
                offset, appended_us = heads.get(place) or await self._head(connection, *place, now_us)
                rows.append((*place, offset, appended_us, message.key, message.value, message.traceparent))
                heads[place] = (offset + 1, appended_us)
        return rows

    async def _head(
        self, connection: AsyncConnection, topic: str, partition: int, now_us: int
    ) -> tuple[int, int]:
        """The next offset and its time, read in the transaction that uses them: the clock may step back
        between two runs, and another process may have appended."""
        newest = (
            select(_table.offset, _table.appended_us)
            .where(_table.topic == topic, _table.partition == partition)
            .order_by(_table.offset.desc())
            .limit(1)
        )
        row = (await connection.execute(newest)).first()
        return (0, now_us) if row is None else (row.offset + 1, max(now_us, row.appended_us))

    # Reading

    def news(self, topic: str) -> asyncio.Event:
        """Set at the next append to `topic` by this process; take it before reading, wait for it after."""
        return self._news.setdefault(topic, asyncio.Event())

    def _announce(self, topic: str) -> None:
        if event := self._news.pop(topic, None):
            event.set()

    async def records(self, topic: str, partition: int, offset: int, count_max: int) -> list[Record]:
        """Up to `count_max` records from `offset` on, or the first ones kept after it."""
        asked = {"of_topic": topic, "of_partition": partition, "since": offset, "count_max": count_max}
        return [_record(row) for row in await self._read(_RECORDS, asked)]

    async def beginning(self, topic: str, partition: int) -> int:
        """The first offset kept; where nothing was ever appended, 0."""
        return await self._edge(topic, partition, is_first=True)

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the next record gets."""
        return await self._edge(topic, partition, is_first=False)

    async def _edge(self, topic: str, partition: int, *, is_first: bool) -> int:
        edge = func.min(_table.offset) if is_first else func.max(_table.offset) + 1
        rows = await self._read(
            select(edge.label("edge")).where(_table.topic == topic, _table.partition == partition)
        )
        return int(rows[0]["edge"] or 0)

    async def _read(self, query: Any, asked: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        try:
            async with self._database.read() as connection:
                return (await connection.execute(query, asked)).mappings().all()
        except (StoreUnavailable, SQLAlchemyError) as error:
            raise LogUnavailable(f"the log cannot be read: {_first_line(error)}") from error

    # Groups

    def leave(self, member: EmbeddedConsumer) -> None:
        """Take `member` out of its group, whose others share its partitions."""
        members = self._groups.get((member.topic, member.group), [])
        if member in members:
            members.remove(member)
            self._share_partitions(member.topic, member.group)

    def _share_partitions(self, topic: str, group: str) -> None:
        """Round robin; whoever is told its partitions anew has to seek them anew, as on Kafka."""
        members = self._groups[topic, group]
        for place, member in enumerate(members):
            member.own(frozenset(range(place, self._partition_count, len(members))))
        self._announce(topic)


def _record(row: RowMapping) -> Record:
    return Record(
        partition=row["partition"],
        offset=row["offset"],
        appended_us=row["appended_us"],
        key=row["key"],
        value=row["value"],
        traceparent=row["traceparent"],
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(getattr(error, "orig", None) or error).strip().splitlines()), type(error).__name__)
