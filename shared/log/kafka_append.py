"""Appends to Kafka: gathers the messages of many calls into batches, and acknowledges each call by itself.

A lane is a partition. One flusher sends, one batch a lane at a time, and the next one when it is
acknowledged, so that aiokafka's own queue never fills. Whatever goes wrong with a batch ends the
producer: an idempotent producer neither gives a batch up nor mends a gap in its sequence numbers, so
it is abandoned, whoever waited is told that nobody knows, and a new one goes on (decision record 0011).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared import tracing
from shared.clock import Clock
from shared.errors import LogUnavailable, PermanentError
from shared.log import Message
from shared.log.aiokafka_inside import abandon_producer, start_producer
from shared.log.kafka_connection import KafkaConnection, cause
from shared.log.waiting import Room, acknowledged, size_of

BATCH_BYTES_MAX = 256 * 1024
MESSAGE_BYTES_MAX = 1_000_000
"""Just under the broker's usual `message.max.bytes`: it would refuse a larger one, and all beside it."""
CONNECT_SECONDS = 5.0
RECONNECT_EVERY_SECONDS = 1.0

_NO_HEADERS: list[tuple[str, bytes]] = []  # one for all, for this is asked of every record there is


class _Call:
    """One append; `left_count` of its messages are not acknowledged yet."""

    __slots__ = ("acknowledgement", "left_count")

    def __init__(self, message_count: int) -> None:
        self.left_count = message_count
        self.acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def arrived(self) -> None:
        """One more of its messages is in the log."""
        self.left_count -= 1
        if not self.left_count and not self.acknowledgement.done():
            self.acknowledgement.set_result(None)

    def failed(self, error: LogUnavailable) -> None:
        if not self.acknowledgement.done():
            self.acknowledgement.set_exception(error)


class _Lane:
    """The messages that wait for one partition, in order, and the calls whose batch is on its way."""

    __slots__ = ("in_flight", "partition", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[tuple[_Call, Message]] = deque()
        self.in_flight: list[_Call] = []  # one entry a message

    def arrived(self) -> None:
        calls, self.in_flight = self.in_flight, []
        for call in calls:
            call.arrived()

    def fail_in_flight(self, error: LogUnavailable) -> None:
        calls, self.in_flight = self.in_flight, []
        for call in calls:
            call.failed(error)

    def fail_waiting(self, error: LogUnavailable) -> None:
        for call, _ in self.waiting:
            call.failed(error)
        self.waiting.clear()


class Appender:
    """The producing half of a Kafka log; connects by itself, and again whenever it has to."""

    def __init__(
        self, connection: KafkaConnection, clock: Clock, *, bytes_waiting_max: int, timeout_seconds: float
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._room = Room(bytes_waiting_max)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._ready: dict[_Lane, None] = {}  # lanes with something to send, longest waiting first
        self._wake = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._producer: AIOKafkaProducer | None = None
        self._is_settled = asyncio.Event()  # connected, or known to be down
        self._broken: LogUnavailable | None = None  # why the producer in use has to go
        self._down: LogUnavailable | None = None  # why nothing can be sent at present
        self._is_closed = False

    async def append(
        self, topic: str, messages: Sequence[Message], partition_of: Callable[[Message], int]
    ) -> None:
        """As `Log.append`; raises PermanentError for a message that no broker would take."""
        self._refuse_if_unable()
        _refuse_too_large(messages)
        size = size_of(messages)
        self._room.take(size)
        try:
            call = _Call(len(messages))
            for message in messages:
                self._enqueue(topic, partition_of(message), call, message)
            await acknowledged(call.acknowledgement, self._timeout_seconds)
        finally:
            self._room.give(size)

    async def connected(self) -> AIOKafkaProducer:
        """The producer in use, whose client answers questions too; raises LogUnavailable without one."""
        self._refuse_if_unable()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._is_settled.wait()
        except TimeoutError:
            raise LogUnavailable("Kafka does not answer") from None
        if self._producer is None:
            raise self._down or LogUnavailable("Kafka does not answer")
        return self._producer

    async def close(self) -> None:
        """Wait for what was taken, no longer than its callers do, and let the connections go."""
        self._is_closed = True
        calls = {call for lane in self._lanes.values() for call in lane.in_flight}
        calls |= {call for lane in self._lanes.values() for call, _ in lane.waiting}
        if calls:
            await asyncio.wait([call.acknowledgement for call in calls], timeout=self._timeout_seconds)
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
            self._flusher = None
        if self._farewells:
            await asyncio.wait(self._farewells)

    def _refuse_if_unable(self) -> None:
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._run())
        if self._down:
            # Waiting would fill the queue for nothing: say so at once, the flusher tries meanwhile.
            raise self._down

    def _enqueue(self, topic: str, partition: int, call: _Call, message: Message) -> None:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition)
        lane.waiting.append((call, message))
        if not lane.in_flight:
            self._ready[lane] = None
            self._wake.set()

    # The flusher

    async def _run(self) -> None:
        while True:
            producer = await self._connect()
            try:
                await self._drive(producer)
            finally:
                self._producer = None
                self._is_settled.clear()
                self._part_with(producer)

    def _part_with(self, producer: AIOKafkaProducer) -> None:
        """In the background: the next producer need not wait for the last one's connections to close."""
        farewell = asyncio.create_task(abandon_producer(producer))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _connect(self) -> AIOKafkaProducer:
        while True:
            try:
                self._producer = await self._start_producer()
            except (TimeoutError, KafkaError, OSError) as error:
                self._go_down(LogUnavailable(f"Kafka does not answer: {cause(error)}"))
                await asyncio.sleep(RECONNECT_EVERY_SECONDS)
            else:
                self._down = self._broken = None
                self._is_settled.set()
                return self._producer

    async def _start_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._connection.arguments(),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            request_timeout_ms=round(self._timeout_seconds * 1000),
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await start_producer(producer)
        except BaseException:
            self._part_with(producer)
            raise
        return producer

    def _go_down(self, error: LogUnavailable) -> None:
        self._down = error
        self._is_settled.set()
        for lane in self._lanes.values():
            lane.fail_waiting(error)
        self._ready.clear()

    async def _drive(self, producer: AIOKafkaProducer) -> None:
        """Send what is ready until the producer breaks; then tell everyone whose batch was on its way."""
        self._ready |= {lane: None for lane in self._lanes.values() if lane.waiting}
        while self._broken is None:
            if not self._ready:
                self._wake.clear()
                await self._wake.wait()
                continue
            lane = next(iter(self._ready))
            del self._ready[lane]
            await self._send(producer, lane)
        for lane in self._lanes.values():
            lane.fail_in_flight(self._broken)

    async def _send(self, producer: AIOKafkaProducer, lane: _Lane) -> None:
        batch = producer.create_batch()
        timestamp_ms = self._clock.now_us() // 1000
        while lane.waiting:
            call, message = lane.waiting[0]
            if not call.acknowledgement.done():  # else its caller has given up: no need to send it
                headers = _NO_HEADERS if message.traceparent is None else _headers_of(message.traceparent)
                taken = batch.append(
                    timestamp=timestamp_ms, key=message.key, value=message.value, headers=headers
                )
                if taken is None:
                    break  # full; the next one goes when this one has arrived
                lane.in_flight.append(call)
            lane.waiting.popleft()
        if not lane.in_flight:
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                delivery = await producer.send_batch(batch, lane.topic, partition=lane.partition)
        except (TimeoutError, KafkaError, OSError) as error:
            self._break(error)
            return
        overdue = asyncio.get_running_loop().call_later(self._timeout_seconds, self._break, TimeoutError())
        delivery.add_done_callback(partial(self._on_delivery, lane, overdue))

    def _on_delivery(
        self, lane: _Lane, overdue: asyncio.TimerHandle, delivery: asyncio.Future[object]
    ) -> None:
        overdue.cancel()
        error = None if delivery.cancelled() else delivery.exception()
        if error is not None or delivery.cancelled():
            self._break(error or TimeoutError())
            return
        lane.arrived()
        if lane.waiting:
            self._ready[lane] = None
            self._wake.set()

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = LogUnavailable(f"Kafka did not acknowledge: {cause(error)}")
            self._wake.set()


def _headers_of(traceparent: str) -> list[tuple[str, bytes]]:
    return [(tracing.HEADER, traceparent.encode())]


def _refuse_too_large(messages: Sequence[Message]) -> None:
    for message in messages:
        size = len(message.value) + len(message.key or b"")
        if size > MESSAGE_BYTES_MAX:
            raise PermanentError(f"a record of {size} bytes; at most {MESSAGE_BYTES_MAX}", code="too_large")
