"""What waits for each partition of Kafka and what is on its way there, batch by batch.

Messages become records of a batch as soon as they come: whoever has just made them has them in the
processor's caches, and nothing is kept of each but its bytes.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from aiokafka.producer.message_accumulator import BatchBuilder

from shared.errors import LogUnavailable
from shared.log import Message
from shared.log.aiokafka_inside import append_records

BATCH_BYTES_MAX = 256 * 1024
_UNCOMPRESSED = 0


class Call:
    """One append, made at `at_ms`; `left_count` of its messages are not acknowledged yet."""

    __slots__ = ("acknowledgement", "at_ms", "left_count")

    def __init__(self, acknowledgement: asyncio.Future[None], message_count: int, at_ms: int) -> None:
        self.acknowledgement = acknowledgement
        self.left_count = message_count
        self.at_ms = at_ms

    def arrived(self, count: int) -> None:
        """So many more of its messages are in the log."""
        self.left_count -= count
        if not self.left_count and not self.acknowledgement.done():
            self.acknowledgement.set_result(None)

    def failed(self, error: LogUnavailable) -> None:
        if not self.acknowledgement.done():
            self.acknowledgement.set_exception(error)


class Batch:
    """Records that are sent and acknowledged as one, and whose they are, with how many of each."""

    __slots__ = ("builder", "shares")

    def __init__(self) -> None:
        self.builder = BatchBuilder(BATCH_BYTES_MAX, _UNCOMPRESSED)
        self.shares: list[tuple[Call, int]] = []

    def is_wanted(self) -> bool:
        """Whether anybody still waits for it; no need to send it when all have given up."""
        return any(not call.acknowledgement.done() for call, _ in self.shares)

    def arrived(self) -> None:
        for call, count in self.shares:
            call.arrived(count)

    def failed(self, error: LogUnavailable) -> None:
        for call, _ in self.shares:
            call.failed(error)


class Lane:
    """What waits for one partition, in order, and what is on its way there."""

    __slots__ = ("in_flight", "partition", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[Batch] = deque()
        self.in_flight: Batch | None = None

    def add(self, call: Call, messages: Sequence[Message]) -> None:
        """Into the last batch that waits, and what that has no room for into others."""
        begin = 0
        while begin < len(messages):
            if not self.waiting or self.waiting[-1].builder.closed():
                self.waiting.append(Batch())
            batch = self.waiting[-1]
            count = append_records(batch.builder, islice(messages, begin, None), call.at_ms)
            if count:
                batch.shares.append((call, count))
            begin += count

    def next(self) -> Batch | None:
        """The first batch that somebody waits for, which is on its way from now on."""
        while self.waiting:
            batch = self.waiting.popleft()
            if batch.is_wanted():
                self.in_flight = batch
                return batch
        return None

    def calls(self) -> Iterator[Call]:
        """Whoever has something here."""
        batches = self.waiting if self.in_flight is None else [self.in_flight, *self.waiting]
        for batch in batches:
            for call, _ in batch.shares:
                yield call

    def arrived(self) -> None:
        sent, self.in_flight = self.in_flight, None
        if sent is not None:
            sent.arrived()

    def fail_in_flight(self, error: LogUnavailable) -> None:
        sent, self.in_flight = self.in_flight, None
        if sent is not None:
            sent.failed(error)

    def fail_waiting(self, error: LogUnavailable) -> None:
        for batch in self.waiting:
            batch.failed(error)
        self.waiting.clear()


def parted(messages: Sequence[Message], partitions: Iterable[int]) -> dict[int, list[Message]]:
    """Messages by their partition, in their order."""
    parts: dict[int, list[Message]] = {}
    for message, partition in zip(messages, partitions, strict=True):
        part = parts.get(partition)
        if part is None:
            parts[partition] = [message]
        else:
            part.append(message)
    return parts
