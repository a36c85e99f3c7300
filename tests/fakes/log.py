"""A log in memory that keeps the promises of the real ones, and fails when told to."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shared.clock import Clock
from shared.errors import LogUnavailable, OffsetOutOfRange
from shared.log import Message, Record
from shared.log.waiting import BYTES_WAITING_MAX, Room, size_of
from shared.partitioner import crc32_partition


class MemoryStorage:
    """What outlives a log: its records, and who reads them. Several logs on it are several processes."""

    def __init__(self) -> None:
        self.committed: dict[tuple[str, str, int], int] = {}
        self._records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._first: dict[tuple[str, int], int] = defaultdict(int)
        self.groups: dict[tuple[str, str], list[MemoryConsumer]] = defaultdict(list)
        self._news = asyncio.Event()

    def records(self, topic: str, partition: int, offset: int = 0) -> Sequence[Record]:
        """The records from `offset` on that retention has left."""
        return tuple(self._records[topic, partition][max(offset, self._first[topic, partition]) :])

    def beginning(self, topic: str, partition: int) -> int:
        return self._first[topic, partition]

    def end(self, topic: str, partition: int) -> int:
        return len(self._records[topic, partition])

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """As retention does."""
        self._first[topic, partition] = offset

    def write(self, topic: str, partition: int, message: Message, now_us: int) -> None:
        records = self._records[topic, partition]
        # As LogAppendTime of a real log: it never runs backwards within a partition.
        newest_us = records[-1].appended_us if records else 0
        records.append(
            Record(
                partition=partition,
                offset=len(records),
                appended_us=max(now_us, newest_us),
                key=message.key,
                value=message.value,
                traceparent=message.traceparent,
            )
        )

    def tell_readers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seconds_max: float) -> None:
        """Returns at the next append, or after `seconds_max`."""
        news = self._news
        try:
            async with asyncio.timeout(seconds_max):
                await news.wait()
        except TimeoutError:
            return

    def join(self, member: "MemoryConsumer") -> None:
        self.groups[member.topic, member.group].append(member)
        self.share_out(member.topic, member.group)

    def leave(self, member: "MemoryConsumer") -> None:
        members = self.groups[member.topic, member.group]
        if member in members:
            members.remove(member)
            self.share_out(member.topic, member.group)

    def share_out(self, topic: str, group: str) -> None:
        """Deal the partitions out anew, as a rebalance does: every member loses its positions."""
        members = self.groups[topic, group]
        for at, member in enumerate(members):
            member.assign(frozenset(range(at, member.partition_count, len(members))))


class MemoryLog:
    """Implements shared.log.Log. `fail_next(n)` makes the next n appends raise LogUnavailable.

    With `is_in_doubt` a failing append has written its messages all the same: only the answer was lost.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        partitions: int = 1,
        storage: MemoryStorage | None = None,
        bytes_waiting_max: int = BYTES_WAITING_MAX,
    ) -> None:
        self._clock = clock
        self._partition_count = partitions
        self.partition_count = partitions
        self.storage = storage or MemoryStorage()
        self._groups = self.storage.groups
        self._room = Room(bytes_waiting_max)
        self._idle = asyncio.Event()
        self._idle.set()
        self._members: list[MemoryConsumer] = []
        self._keyless_count = 0
        self._failure_count = 0
        self._is_in_doubt = False
        self._is_closed = False

    @property
    def committed(self) -> Mapping[tuple[str, str, int], int]:
        """What consumers told their groups, by topic, group and partition."""
        return self.storage.committed

    def fail_next(self, count: int = 1, *, is_in_doubt: bool = False) -> None:
        self._failure_count = count
        self._is_in_doubt = is_in_doubt

    def records(self, topic: str, partition: int = 0) -> Sequence[Record]:
        """Everything in a partition, in order; for assertions."""
        return self.storage.records(topic, partition)

    def share_out(self, topic: str, group: str) -> None:
        """As a rebalance does: every member of the group loses its positions."""
        self.storage.share_out(topic, group)

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        if not messages:
            return
        self._check_partitions(messages)
        size = size_of(messages)
        self._room.take(size)
        self._idle.clear()
        try:
            await asyncio.sleep(0)  # Other callers come in meanwhile, as while a disk is written.
            self._write(topic, messages)
        finally:
            self._room.give(size)
            if not self._room.bytes_waiting:
                self._idle.set()

    async def partitions(self, topic: str) -> int:
        return self._partition_count

    async def ends(self, topic: str) -> Mapping[int, int]:
        await self.check()
        return {number: self.storage.end(topic, number) for number in range(self._partition_count)}

    async def consumer(self, topic: str, group: str) -> "MemoryConsumer":
        member = MemoryConsumer(self, topic, group)
        self._members.append(member)
        self.storage.join(member)
        return member

    async def check(self) -> None:
        if self._is_closed or self._failure_count:
            raise LogUnavailable("the log does not answer")

    async def close(self) -> None:
        self._is_closed = True
        await self._idle.wait()
        for member in self._members:
            await member.close()

    def _check_partitions(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.partition is not None and not 0 <= message.partition < self._partition_count:
                raise ValueError(f"there is no partition {message.partition}")

    def _write(self, topic: str, messages: Sequence[Message]) -> None:
        fails = self._failure_count > 0
        self._failure_count -= fails
        if not fails or self._is_in_doubt:
            now_us = self._clock.now_us()
            for message in messages:
                self.storage.write(topic, self._partition_of(message), message, now_us)
            self.storage.tell_readers()
        if fails:
            raise LogUnavailable("the log did not acknowledge in time")

    def _partition_of(self, message: Message) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is not None:
            return crc32_partition(message.key, self._partition_count)
        self._keyless_count += 1
        return self._keyless_count % self._partition_count


class MemoryConsumer:
    """Implements shared.log.Consumer on a MemoryStorage."""

    def __init__(self, log: MemoryLog, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self.partition_count = log.partition_count
        self._log = log
        self._storage = log.storage
        self._assigned: frozenset[int] = frozenset()
        self._positions: dict[int, int] = {}
        self._is_closed = False

    def assign(self, partitions: frozenset[int]) -> None:
        self._assigned = partitions
        self._positions.clear()

    def assignment(self) -> frozenset[int]:
        return self._assigned

    def sought(self) -> frozenset[int]:
        return frozenset(self._positions)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._assigned:
            self._positions[partition] = offset

    def forget(self, partition: int) -> None:
        self._positions.pop(partition, None)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        if self._is_closed:
            raise LogUnavailable("the reader is closed")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            found = self._waiting(records_max)
            left_seconds = deadline - loop.time()
            if found or left_seconds <= 0:
                return found
            await self._storage.news(left_seconds)

    async def beginning(self, partition: int) -> int:
        return self._storage.beginning(self.topic, partition)

    async def end(self, partition: int) -> int:
        return self._storage.end(self.topic, partition)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            self._storage.committed[self.topic, self.group, partition] = offset

    async def close(self) -> None:
        self._is_closed = True
        self.assign(frozenset())
        self._storage.leave(self)

    def _waiting(self, records_max: int) -> dict[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        for partition, offset in list(self._positions.items()):
            self._check(partition, offset)
            records = self._storage.records(self.topic, partition, offset)[:records_max]
            if records:
                found[partition] = records
                records_max -= len(records)
        for partition, records in found.items():
            # To the end of the order: partitions take turns at being read first.
            del self._positions[partition]
            self._positions[partition] = records[-1].offset + 1
        return found

    def _check(self, partition: int, offset: int) -> None:
        first, end = self._storage.beginning(self.topic, partition), self._storage.end(self.topic, partition)
        if not first <= offset <= end:
            self.forget(partition)
            raise OffsetOutOfRange(
                f"{self.topic}/{partition}: offset {offset} is not in the log, which keeps {first} to {end}",
                partition=partition,
            )
