"""A member of a group on the embedded log: reads from the positions that its caller seeks."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.errors import LogUnavailable, OffsetOutOfRange
from shared.log import Record

POLL_SECONDS = 1.0
"""How soon an append by another process is seen; an append by this one is seen at once."""


class Source(Protocol):
    """What a consumer needs of its log."""

    def news(self, topic: str) -> asyncio.Event: ...
    async def records(self, topic: str, partition: int, offset: int, count_max: int) -> list[Record]: ...
    async def beginning(self, topic: str, partition: int) -> int: ...
    async def end(self, topic: str, partition: int) -> int: ...
    def leave(self, member: "EmbeddedConsumer") -> None: ...


class EmbeddedConsumer:
    """A member of a group within this process; its positions are its caller's."""

    def __init__(self, log: Source, topic: str, group: str) -> None:
        self._log = log
        self.topic = topic
        self.group = group
        self._owned: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}
        self._unchecked: set[int] = set()  # sought, and not yet known to lie inside the log
        self._is_closed = False

    def assignment(self) -> frozenset[int]:
        return self._owned

    def own(self, partitions: frozenset[int]) -> None:
        """The group was shared out anew: every position is void until it is sought again."""
        self._owned = partitions
        self._next.clear()

    def sought(self) -> frozenset[int]:
        return frozenset(self._next)

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._owned:
            return  # lost between the caller's look at the assignment and now: an ordinary race
        # A new object at the end of the order: partitions take turns at being read first.
        self._next.pop(partition, None)
        self._next[partition] = offset
        self._unchecked.add(partition)

    def forget(self, partition: int) -> None:
        self._next.pop(partition, None)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        if self._is_closed:
            raise LogUnavailable("the reader is closed")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            news = self._log.news(self.topic)
            found = await self._read(records_max)
            left_seconds = deadline - loop.time()
            if found or self._is_closed or left_seconds <= 0:
                return found
            # Only the wait is cut short, never a query: a driver does not like to be cancelled.
            await _wait(news, min(POLL_SECONDS, left_seconds))

    async def beginning(self, partition: int) -> int:
        return await self._log.beginning(self.topic, partition)

    async def end(self, partition: int) -> int:
        return await self._log.end(self.topic, partition)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Nothing to tell: the positions lie in the same file."""

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.own(frozenset())
            self._log.leave(self)

    async def _read(self, records_max: int) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = {}
        for partition, offset in list(self._next.items()):
            if not records_max:
                break
            records = await self._log.records(self.topic, partition, offset, records_max)
            if self._next.get(partition) != offset:
                continue  # lost, forgotten or sought elsewhere while the database answered
            await self._check(partition, offset, records)
            if records:
                found[partition] = records
                records_max -= len(records)
        for partition, records in found.items():
            if self._next.pop(partition, None) is not None:
                self._next[partition] = records[-1].offset + 1
        return found

    async def _check(self, partition: int, offset: int, records: list[Record]) -> None:
        """Offsets are consecutive, so a first record other than the one sought means that it was trimmed."""
        if records:
            is_inside = records[0].offset == offset
        elif partition in self._unchecked:
            is_inside = offset <= await self.end(partition)
        else:
            return
        if not is_inside:
            self.forget(partition)
            raise OffsetOutOfRange(
                f"{self.topic}/{partition}: offset {offset} is not in the log, which keeps "
                f"{await self.beginning(partition)} to {await self.end(partition)}",
                partition=partition,
            )
        self._unchecked.discard(partition)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
