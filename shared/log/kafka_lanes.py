"""What waits for each partition of Kafka and what is on its way there, call by call."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from aiokafka.producer.message_accumulator import BatchBuilder

from shared import tracing
from shared.errors import LogUnavailable
from shared.log import Message

_NO_HEADERS: list[tuple[str, bytes]] = []  # one for all, for this is asked of every record there is


class Call:
    """One append; `left_count` of its messages are not acknowledged yet."""

    __slots__ = ("acknowledgement", "left_count")

    def __init__(self, message_count: int) -> None:
        self.left_count = message_count
        self.acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def arrived(self, count: int) -> None:
        """So many more of its messages are in the log."""
        self.left_count -= count
        if not self.left_count and not self.acknowledgement.done():
            self.acknowledgement.set_result(None)

    def failed(self, error: LogUnavailable) -> None:
        if not self.acknowledgement.done():
            self.acknowledgement.set_exception(error)


class Part:
    """The messages of one append for one partition; `sent_count` of them are in a batch already."""

    __slots__ = ("call", "messages", "sent_count")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.messages: list[Message] = []
        self.sent_count = 0


class Lane:
    """What waits for one partition, in order, and whose messages are on their way, with how many of each."""

    __slots__ = ("in_flight", "partition", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[Part] = deque()
        self.in_flight: list[tuple[Call, int]] = []

    def arrived(self) -> None:
        sent, self.in_flight = self.in_flight, []
        for call, count in sent:
            call.arrived(count)

    def fail_in_flight(self, error: LogUnavailable) -> None:
        sent, self.in_flight = self.in_flight, []
        for call, _ in sent:
            call.failed(error)

    def fail_waiting(self, error: LogUnavailable) -> None:
        for part in self.waiting:
            part.call.failed(error)
        self.waiting.clear()


def parted(call: Call, messages: Sequence[Message], partitions: Iterable[int]) -> dict[int, Part]:
    """The messages of a call by partition, in their order."""
    parts: dict[int, Part] = {}
    for message, partition in zip(messages, partitions, strict=True):
        part = parts.get(partition)
        if part is None:
            part = parts[partition] = Part(call)
        part.messages.append(message)
    return parts


def fill(batch: BatchBuilder, part: Part, timestamp_ms: int) -> int:
    """How many more of the part's messages have found room in the batch."""
    count = 0
    for message in islice(part.messages, part.sent_count, None):
        headers = _NO_HEADERS if message.traceparent is None else _headers_of(message.traceparent)
        taken = batch.append(timestamp=timestamp_ms, key=message.key, value=message.value, headers=headers)
        if taken is None:
            break
        count += 1
    return count


def _headers_of(traceparent: str) -> list[tuple[str, bytes]]:
    return [(tracing.HEADER, traceparent.encode())]
