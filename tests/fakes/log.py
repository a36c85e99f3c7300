"""A log in memory that keeps the promises of the real ones, and fails when told to."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shared.clock import Clock
from shared.errors import LogUnavailable, OffsetOutOfRange
from shared.log import Message, Record
from shared.partitioner import crc32_partition


class MemoryLog:
    """Implements shared.log.Log. `fail_next(n)` makes the next n appends raise LogUnavailable.

    With `is_in_doubt` a failing append has written its messages all the same: only the answer was lost.
    """

    def __init__(self, clock: Clock, *, partitions: int = 1) -> None:
        self._clock = clock
        self._partition_count = partitions
        self._records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._groups: dict[tuple[str, str], list[MemoryConsumer]] = defaultdict(list)
        self._news = asyncio.Event()
        self._keyless_count = 0
        self._failure_count = 0
        self._is_in_doubt = False
        self._is_closed = False
        self.committed: dict[tuple[str, str, int], int] = {}

    def fail_next(self, count: int = 1, *, is_in_doubt: bool = False) -> None:
        self._failure_count = count
        self._is_in_doubt = is_in_doubt

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        for message in messages:
            if message.partition is not None and not 0 <= message.partition < self._partition_count:
                raise ValueError(f"there is no partition {message.partition}")
        if self._failure_count and not self._is_in_doubt:
            self._fail()
        for message in messages:
            self._write(topic, message)
        self._news.set()
        self._news = asyncio.Event()
        if self._failure_count:
            self._fail()

    async def partitions(self, topic: str) -> int:
        return self._partition_count

    async def consumer(self, topic: str, group: str) -> "MemoryConsumer":
        member = MemoryConsumer(self, topic, group)
        self._groups[topic, group].append(member)
        self.share_out(topic, group)
        return member

    async def check(self) -> None:
        if self._is_closed or self._failure_count:
            raise LogUnavailable("the log does not answer")

    async def close(self) -> None:
        self._is_closed = True
        for members in list(self._groups.values()):
            for member in list(members):
                await member.close()

    def records(self, topic: str, partition: int = 0) -> Sequence[Record]:
        """Everything in a partition, in order; for assertions."""
        return tuple(self._records[topic, partition])

    def leave(self, member: "MemoryConsumer") -> None:
        members = self._groups[member.topic, member.group]
        if member in members:
            members.remove(member)
            self.share_out(member.topic, member.group)

    def share_out(self, topic: str, group: str) -> None:
        """Deal the partitions out anew, as a rebalance does: every member loses its positions."""
        members = self._groups[topic, group]
        for at, member in enumerate(members):
            member.assign(frozenset(range(at, self._partition_count, len(members))))

    async def news(self, seconds_max: float) -> None:
        """Returns at the next append, or after `seconds_max`."""
        news = self._news
        try:
            async with asyncio.timeout(seconds_max):
                await news.wait()
        except TimeoutError:
            return

    def _fail(self) -> None:
        self._failure_count -= 1
        raise LogUnavailable("the log did not acknowledge in time")

    def _write(self, topic: str, message: Message) -> None:
        partition = self._partition_of(message)
        records = self._records[topic, partition]
        # As LogAppendTime of a real log: it never runs backwards within a partition.
        newest_us = records[-1].appended_us if records else 0
        records.append(
            Record(
                partition=partition,
                offset=len(records),
                appended_us=max(self._clock.now_us(), newest_us),
                key=message.key,
                value=message.value,
            )
        )

    def _partition_of(self, message: Message) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is not None:
            return crc32_partition(message.key, self._partition_count)
        self._keyless_count += 1
        return self._keyless_count % self._partition_count


class MemoryConsumer:
    """Implements shared.log.Consumer on a MemoryLog."""

    def __init__(self, log: MemoryLog, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self._log = log
        self._assigned: frozenset[int] = frozenset()
        self._positions: dict[int, int] = {}

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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            found = self._waiting(records_max)
            left_seconds = deadline - loop.time()
            if found or left_seconds <= 0:
                return found
            await self._log.news(left_seconds)

    async def beginning(self, partition: int) -> int:
        return 0

    async def end(self, partition: int) -> int:
        return len(self._log.records(self.topic, partition))

    async def commit(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            self._log.committed[self.topic, self.group, partition] = offset

    async def close(self) -> None:
        self.assign(frozenset())
        self._log.leave(self)

    def _waiting(self, records_max: int) -> dict[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        for partition, offset in self._positions.items():
            records = self._log.records(self.topic, partition)
            if not 0 <= offset <= len(records):
                raise OffsetOutOfRange(f"partition {partition} has no offset {offset}", partition=partition)
            room = records_max - sum(map(len, found.values()))
            if records[offset : offset + room]:
                found[partition] = records[offset : offset + room]
        for partition, records in found.items():
            self._positions[partition] += len(records)
        return found
