"""Reads from Kafka what the group gave us, from the positions that our caller's store knows."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared import tracing
from shared.errors import LogUnavailable, OffsetOutOfRange, SetupError, Unreadable
from shared.log import Record
from shared.log.aiokafka_inside import (
    FoundRecord,
    abandon_consumer,
    hand_out_as,
    is_dead,
    start_consumer,
    stop_consumer,
)
from shared.log.kafka_connection import KafkaConnection, cause
from shared.log.kafka_membership import Membership

ANSWER_SECONDS = 5.0
FETCH_WAIT_MS = 250
"""How long a broker holds a fetch that finds nothing; a newly sought partition waits for its end."""
PARTITION_BYTES_PER_FETCH_MAX = 2 * 1024 * 1024
"""Some ten thousand events: what a broker sends at once of a partition becomes one batch, one transaction."""
_LOG_APPEND_TIME = 1


class KafkaConsumer:
    """A member of a group that reads only what was sought, in order and without a gap.

    After every change of the group's members each partition has to be sought anew.
    """

    def __init__(self, connection: KafkaConnection, topic: str, group: str) -> None:
        self._connection = connection
        self._topic = topic
        self._membership = Membership(connection, topic, group)
        self._generation = 0
        self._reader: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()  # several partitions ask for their beginnings at once
        self._next: dict[int, int] = {}
        self._places: list[TopicPartition] = []  # what the reader is assigned
        self._is_closed = False
        self._is_aligned = True  # whether the reader stands where `_next` says

    async def open(self) -> None:
        """Join the group; raises LogUnavailable when no broker answers."""
        await self._membership.join()

    def assignment(self) -> frozenset[int]:
        return self._membership.owned

    def sought(self) -> frozenset[int]:
        self._drop_void()
        return frozenset(self._next)

    def seek(self, partition: int, offset: int) -> None:
        self._drop_void()
        if partition not in self._membership.owned:
            return  # lost between the caller's look at the assignment and now: an ordinary race
        self._next[partition] = offset
        self._is_aligned = False

    def forget(self, partition: int) -> None:
        if self._next.pop(partition, None) is not None:
            self._is_aligned = False

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        # aiokafka hands out what it has without ever waiting: a caller that does not wait either would
        # keep heartbeats from being sent.
        await asyncio.sleep(0)
        if self._is_closed:
            raise LogUnavailable("the reader is closed")
        await self._membership.look()
        self._drop_void()
        if not self._next:
            await self._wait_for_change(timeout_seconds)
            return {}
        found = await self._read(records_max, timeout_seconds)
        self._drop_void()
        return {
            place.partition: self._taken(records) for place, records in found.items() if self._is_next(place)
        }

    async def beginning(self, partition: int) -> int:
        reader = await self._running_reader()
        place = TopicPartition(self._topic, partition)
        return await _answer(reader.beginning_offsets([place]), place)

    async def end(self, partition: int) -> int:
        reader = await self._running_reader()
        place = TopicPartition(self._topic, partition)
        return await _answer(reader.end_offsets([place]), place)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        self._membership.commit(offsets)

    async def close(self) -> None:
        self._is_closed = True
        reader, self._reader = self._reader, None
        await self._membership.leave()
        if reader is not None:
            await stop_consumer(reader)

    # Positions

    def _drop_void(self) -> None:
        """Nothing of before a change of the group's members counts: others may have read on since."""
        if self._generation != self._membership.generation:
            self._generation = self._membership.generation
            self._next.clear()

    async def _wait_for_change(self, seconds: float) -> None:
        self._membership.changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._membership.changed.wait()
        except TimeoutError:
            return

    def _is_next(self, place: TopicPartition) -> bool:
        return place.partition in self._next

    def _taken(self, found: Sequence[Record]) -> Sequence[Record]:
        self._next[found[0].partition] = found[-1].offset + 1
        return found

    # Reading

    async def _read(self, records_max: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        reader = await self._running_reader()
        self._align(reader)
        try:
            return await _records(reader, self._places, records_max, timeout_seconds)
        except OffsetOutOfRangeError as error:
            raise await self._out_of_range(error) from error
        except KafkaError as error:
            raise await self._unreadable(reader, error) from error

    def _align(self, reader: AIOKafkaConsumer) -> None:
        """Let the reader stand exactly where we are. Nothing is awaited between the two calls, so it
        never looks for a position of its own; what it had fetched ahead is dropped."""
        if not self._is_aligned:
            self._stand(reader, self._next)
            self._is_aligned = True

    def _stand(self, reader: AIOKafkaConsumer, partitions: Iterable[int]) -> None:
        self._places = [TopicPartition(self._topic, partition) for partition in partitions]
        reader.assign(self._places)
        for place in self._places:
            reader.seek(place, self._next[place.partition])

    async def _running_reader(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._reader is not None and is_dead(self._reader):
                dead, self._reader = self._reader, None
                await abandon_consumer(dead)
            if self._reader is None:
                self._reader = await self._start_reader()
                self._is_aligned = False
            return self._reader

    async def _start_reader(self) -> AIOKafkaConsumer:
        reader = AIOKafkaConsumer(
            **self._connection.arguments(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=PARTITION_BYTES_PER_FETCH_MAX,
            request_timeout_ms=round(ANSWER_SECONDS * 1000),
        )
        await start_consumer(reader)
        hand_out_as(reader, _traced_record if tracing.is_on() else _record)
        return reader

    # What cannot be read

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> OffsetOutOfRange:
        place: TopicPartition = next(iter(error.args[0]))
        offset = error.args[0][place]
        kept = f"{await self.beginning(place.partition)} to {await self.end(place.partition)}"
        self.forget(place.partition)  # only now: unless this was told, the next fetch has to find it again
        return OffsetOutOfRange(
            f"{self._topic}/{place.partition}: offset {offset} is not in the log, which keeps {kept}",
            partition=place.partition,
        )

    async def _unreadable(self, reader: AIOKafkaConsumer, error: KafkaError) -> Unreadable | LogUnavailable:
        """Which partition it is: aiokafka does not say, and has dropped what it had of the others."""
        self._is_aligned = False
        for partition in list(self._next):
            self._stand(reader, [partition])
            try:
                await _records(reader, self._places, 1, 2 * FETCH_WAIT_MS / 1000)
            except KafkaError as its_error:
                offset = self._next[partition]
                self.forget(partition)
                return Unreadable(
                    f"{self._topic}/{partition}: offset {offset} cannot be read: {cause(its_error)}",
                    partition=partition,
                )
        return LogUnavailable(f"{self._topic} cannot be read: {cause(error)}")


async def _records(
    reader: AIOKafkaConsumer, places: Sequence[TopicPartition], records_max: int, timeout_seconds: float
) -> dict[TopicPartition, list[Record]]:
    # The places are named because an error of one that is no longer assigned would be raised as well.
    found: dict[TopicPartition, list[Record]] = await reader.getmany(
        *places, timeout_ms=round(timeout_seconds * 1000), max_records=records_max
    )
    return found


async def _answer(question: Awaitable[Mapping[TopicPartition, int]], place: TopicPartition) -> int:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return (await question)[place]
    except (TimeoutError, KafkaError, OSError) as error:
        raise LogUnavailable(f"Kafka does not answer: {cause(error)}") from error


def _record(place: TopicPartition, found: FoundRecord) -> Record:
    if found.timestamp_type != _LOG_APPEND_TIME:
        # By the producers' clocks a customer could be accused by whoever's clock runs ahead.
        raise SetupError(f"{place.topic} does not have message.timestamp.type=LogAppendTime any more")
    value = found.value
    return Record(
        partition=place.partition,
        offset=found.offset,
        appended_us=found.timestamp * 1000,
        key=found.key,
        value=b"" if value is None else value,
    )


def _traced_record(place: TopicPartition, found: FoundRecord) -> Record:
    values = (value for name, value in found.headers if name == tracing.HEADER)
    traceparent = next(values, b"").decode("ascii", "replace") or None
    return msgspec.structs.replace(_record(place, found), traceparent=traceparent)
