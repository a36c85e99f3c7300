"""A log for many machines, in memory: groups that are shared out anew, members who do not notice, faults."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from shared.errors import LogUnavailable, OffsetOutOfRange
from shared.log import Message, Record
from shared.partitioner import crc32_partition

SESSION_SECONDS = 45.0
"""A member that has not been heard of for so long is taken for dead."""

BYTES_WAITING_MAX = 1 << 30


class Site(Protocol):
    """Where a client of the broker runs: a machine, or in its own tests nowhere in particular."""

    @property
    def is_dead(self) -> bool: ...
    async def io(self, what: str) -> None: ...


class Faults:
    """What is wrong with the broker at the moment; shares are of all calls."""

    def __init__(self) -> None:
        self.is_away = False
        self.append_share = 0.0
        self.read_share = 0.0
        self.unfetched: set[int] = set()
        self.unnoticed_seconds_max = 0.0


class Broker:
    """Every topic's records, and who reads them. `on_append` and `on_shared_out` are told topics."""

    def __init__(self, *, now_us: Callable[[], int], random: Random, partitions: int) -> None:
        self.faults = Faults()
        self.partition_count = partitions
        self.random = random
        self.on_append: list[Callable[[str], None]] = []
        self.on_shared_out: list[Callable[[str], None]] = []
        self._now_us = now_us
        self._records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._beginnings: dict[tuple[str, int], int] = defaultdict(int)
        self._groups: dict[tuple[str, str], Group] = {}
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def client(self, site: Site, *, bytes_waiting_max: int = BYTES_WAITING_MAX) -> "SimLog":
        return SimLog(self, site, bytes_waiting_max)

    def records(self, topic: str, partition: int) -> Sequence[Record]:
        """Everything that was ever written, in order."""
        return self._records[topic, partition]

    def beginning(self, topic: str, partition: int) -> int:
        return self._beginnings[topic, partition]

    def end(self, topic: str, partition: int) -> int:
        return len(self._records[topic, partition])

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        self._beginnings[topic, partition] = offset

    def group(self, topic: str, name: str) -> "Group":
        if (topic, name) not in self._groups:
            self._groups[topic, name] = Group(self, topic)
        return self._groups[topic, name]

    def expel(self, site: Site) -> None:
        """Nothing was heard of this site for a whole session."""
        for group in self._groups.values():
            for member in [m for m in group.members if m.site is site]:
                group.remove(member)

    def share_out_all(self, topic: str) -> None:
        """A rebalance for no reason at all, which happens too."""
        for (of_topic, _), group in self._groups.items():
            if of_topic == topic:
                group.share_out()

    def news(self, topic: str) -> asyncio.Event:
        """Set at the next append."""
        return self._news[topic]

    def partition_of(self, message: Message) -> int:
        if message.partition is not None:
            return message.partition
        return self.partition_of_key(message.key or b"")

    def partition_of_key(self, key: bytes) -> int:
        return crc32_partition(key, self.partition_count)

    def write(self, topic: str, messages: Sequence[Message]) -> None:
        """As LogAppendTime: never back within a partition, and the same for what comes together."""
        now_us = self._now_us()
        for message in messages:
            partition = self.partition_of(message)
            records = self._records[topic, partition]
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
        self._news.pop(topic, asyncio.Event()).set()
        for tell in self.on_append:
            tell(topic)


class Group:
    """Who reads a topic together; every time it is shared out the partitions go round."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.members: list[SimConsumer] = []
        self.generation = 0
        self._broker = broker
        self._topic = topic

    def add(self, member: "SimConsumer") -> None:
        self.members.append(member)
        self.share_out()

    def remove(self, member: "SimConsumer") -> None:
        if member in self.members:
            self.members.remove(member)
            member.share_of(self.generation + 1, None, self._delay())
            self.share_out()

    def share_out(self) -> None:
        self.generation += 1
        for at, member in enumerate(self.members):
            first = (at + self.generation) % len(self.members)
            share = frozenset(range(first, self._broker.partition_count, len(self.members)))
            member.share_of(self.generation, share, self._delay())
        for tell in self._broker.on_shared_out:
            tell(self._topic)

    def _delay(self) -> float:
        """How long a member goes on in the belief that nothing has changed."""
        seconds_max = self._broker.faults.unnoticed_seconds_max
        return self._broker.random.random() * seconds_max if seconds_max else 0.0


class SimConsumer:
    """Implements shared.log.Consumer. Owns what it believes to own until it notices that it does not."""

    def __init__(self, broker: Broker, site: Site, topic: str, group: Group) -> None:
        self.site = site
        self._broker = broker
        self._topic = topic
        self._group = group
        self._owned: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}
        self._coming: tuple[float, frozenset[int] | None] | None = None
        self._is_closed = False
        self.notice_count = 0

    def share_of(self, generation: int, share: frozenset[int] | None, delay: float) -> None:
        """The group's new share for us; None: we were expelled."""
        self._coming = (asyncio.get_running_loop().time() + delay, share)

    def assignment(self) -> frozenset[int]:
        return self._owned

    def sought(self) -> frozenset[int]:
        return frozenset(self._next)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._owned:
            self._next.pop(partition, None)
            self._next[partition] = offset

    def forget(self, partition: int) -> None:
        self._next.pop(partition, None)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        if self._is_closed:
            raise LogUnavailable("the reader is closed")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        await self._call("fetch")
        while True:
            self._notice()
            found = self._read(records_max)
            left_seconds = deadline - loop.time()
            if found or self._is_closed or left_seconds <= 0:
                return found
            await self._news(left_seconds)

    async def beginning(self, partition: int) -> int:
        await self._call("beginning")
        return self._broker.beginning(self._topic, partition)

    async def end(self, partition: int) -> int:
        return self._broker.end(self._topic, partition)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Nobody here looks at the group's offsets."""

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._group.remove(self)
            self._owned, self._coming = frozenset(), None
            self._next.clear()

    async def _call(self, what: str) -> None:
        await self.site.io(what)
        faults = self._broker.faults
        if faults.is_away or self._broker.random.random() < faults.read_share:
            raise LogUnavailable("the log does not answer")

    def _notice(self) -> None:
        if self._coming is None or self._coming[0] > asyncio.get_running_loop().time() or self._is_closed:
            return
        share, self._coming = self._coming[1], None
        self.notice_count += 1
        self._owned = share or frozenset()
        self._next.clear()
        if share is None:
            self._group.add(self)

    def _read(self, records_max: int) -> dict[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        for partition, offset in list(self._next.items()):
            if partition in self._broker.faults.unfetched or not records_max:
                continue
            self._check(partition, offset)
            records = self._broker.records(self._topic, partition)[offset : offset + records_max]
            if records:
                found[partition] = records
                records_max -= len(records)
                # Taken out and put back: partitions take turns at being read first.
                self._next.pop(partition)
                self._next[partition] = records[-1].offset + 1
        return found

    def _check(self, partition: int, offset: int) -> None:
        first = self._broker.beginning(self._topic, partition)
        end = self._broker.end(self._topic, partition)
        if not first <= offset <= end:
            self.forget(partition)
            message = f"offset {offset} is not in the log, which keeps {first} to {end}"
            raise OffsetOutOfRange(f"{self._topic}/{partition}: {message}", partition=partition)

    async def _news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._broker.news(self._topic).wait()
        except TimeoutError:
            return


class SimLog:
    """Implements shared.log.Log as seen from one machine."""

    def __init__(self, broker: Broker, site: Site, bytes_waiting_max: int) -> None:
        self._broker = broker
        self._site = site
        self._room = bytes_waiting_max
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._consumers: list[SimConsumer] = []
        self._is_closed = False

    @property
    def notice_count(self) -> int:
        """How often its consumers have learnt that the group was shared out anew."""
        return sum(consumer.notice_count for consumer in self._consumers)

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        for message in messages:
            if message.partition is not None and not 0 <= message.partition < self._broker.partition_count:
                raise ValueError(f"there is no partition {message.partition}")
        size = sum(len(message.value) for message in messages)
        if size > self._room:
            raise LogUnavailable("more is waiting than the log takes at the moment")
        self._room -= size
        self._under_way += 1
        self._idle.clear()
        try:
            await self._append(topic, messages)
        finally:
            self._room += size
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _append(self, topic: str, messages: Sequence[Message]) -> None:
        await self._site.io(f"append to {topic}")
        broker = self._broker
        if broker.faults.is_away:
            raise LogUnavailable("the log does not answer")
        if broker.random.random() < broker.faults.append_share:
            broker.write(topic, self._some(messages))
            await self._site.io("appended, who knows how much")
            raise LogUnavailable("the log did not acknowledge in time")
        broker.write(topic, messages)
        await self._site.io("appended")

    def _some(self, messages: Sequence[Message]) -> list[Message]:
        """Nothing, everything or, a partition at a time, the first few: a partition's order is kept."""
        random = self._broker.random
        if random.random() < 0.5:
            return list(messages) if random.random() < 0.5 else []
        room = {n: random.randint(0, len(messages)) for n in range(self._broker.partition_count)}
        some: list[Message] = []
        for message in messages:
            partition = self._broker.partition_of(message)
            room[partition] -= 1
            if room[partition] >= 0:
                some.append(message)
        return some

    async def partitions(self, topic: str) -> int:
        return self._broker.partition_count

    async def ends(self, topic: str) -> Mapping[int, int]:
        return {number: self._broker.end(topic, number) for number in range(self._broker.partition_count)}

    async def consumer(self, topic: str, group: str) -> SimConsumer:
        await self._site.io(f"join {group}")
        if self._broker.faults.is_away:
            raise LogUnavailable("the log does not answer")
        shared = self._broker.group(topic, group)
        member = SimConsumer(self._broker, self._site, topic, shared)
        self._consumers.append(member)
        shared.add(member)
        return member

    async def check(self) -> None:
        if self._is_closed or self._broker.faults.is_away:
            raise LogUnavailable("the log does not answer")

    async def close(self) -> None:
        await self._idle.wait()
        self._is_closed = True
        for consumer in self._consumers:
            await consumer.close()
