"""Appends to Kafka: gathers the messages of many calls into batches, and acknowledges each call by itself.

A lane is a partition (`shared/log/kafka_lanes.py`). One flusher sends, one batch a lane at a time, and
the next one when it is acknowledged, so that aiokafka's own queue never fills. Whatever goes wrong with
a batch ends the producer: an idempotent producer neither gives a batch up nor mends a gap in its sequence
numbers, so it is abandoned, whoever waited is told that nobody knows, and a new one goes on (decision
record 0011).
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.clock import Clock
from shared.errors import LogUnavailable, PermanentError
from shared.log import Message
from shared.log.aiokafka_inside import abandon_producer, start_producer
from shared.log.kafka_connection import KafkaConnection, cause
from shared.log.kafka_lanes import Batch, Call, Lane, parted
from shared.log.waiting import Room, acknowledged, size_of

MESSAGE_BYTES_MAX = 1_000_000
"""Just under the broker's usual `message.max.bytes`: it would refuse a larger one, and all beside it."""
CONNECT_SECONDS = 5.0
RECONNECT_EVERY_SECONDS = 1.0


class Appender:
    """The producing half of a Kafka log; connects by itself, and again whenever it has to."""

    def __init__(
        self, connection: KafkaConnection, clock: Clock, *, bytes_waiting_max: int, timeout_seconds: float
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._room = Room(bytes_waiting_max)
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._ready: dict[Lane, None] = {}  # lanes with something to send, longest waiting first
        self._wake = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._producer: AIOKafkaProducer | None = None
        self._is_settled = asyncio.Event()  # connected, or known to be down
        self._broken: LogUnavailable | None = None  # why the producer in use has to go
        self._down: LogUnavailable | None = None  # why nothing can be sent at present
        self._is_closed = False

    async def append(self, topic: str, messages: Sequence[Message], partitions: Iterable[int]) -> None:
        """As `Log.append`, each message to the partition beside it.

        Raises PermanentError for a message that no broker would take.
        """
        flusher = self._able()
        _refuse_too_large(messages)
        size = size_of(messages)
        self._room.take(size)
        try:
            call = Call(flusher.get_loop().create_future(), len(messages), self._clock.now_us() // 1000)
            for partition, part in parted(messages, partitions).items():
                self._enqueue(topic, partition, call, part)
            await acknowledged(call.acknowledgement, self._timeout_seconds)
        finally:
            self._room.give(size)

    async def connected(self) -> AIOKafkaProducer:
        """The producer in use, whose client answers questions too; raises LogUnavailable without one."""
        self._able()
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
        calls = {call for lane in self._lanes.values() for call in lane.calls()}
        if calls:
            await asyncio.wait([call.acknowledgement for call in calls], timeout=self._timeout_seconds)
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
            self._flusher = None
        if self._farewells:
            await asyncio.wait(self._farewells)

    def _able(self) -> asyncio.Task[None]:
        """The flusher; raises LogUnavailable while nothing can be sent."""
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._run())
        if self._down:
            # Waiting would fill the queue for nothing: say so at once, the flusher tries meanwhile.
            raise self._down
        return self._flusher

    def _enqueue(self, topic: str, partition: int, call: Call, messages: Sequence[Message]) -> None:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition)
        lane.add(call, messages)
        if lane.in_flight is None:
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
            if self._ready:
                await self._send(producer)
            else:
                self._wake.clear()
                await self._wake.wait()
        for lane in self._lanes.values():
            lane.fail_in_flight(self._broken)

    async def _send(self, producer: AIOKafkaProducer) -> None:
        """The next batch of each lane that is ready: aiokafka sends those of one broker in one request."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while self._ready:
                    lane = next(iter(self._ready))
                    del self._ready[lane]
                    batch = lane.next()
                    if batch is not None:
                        delivery = await producer.send_batch(
                            batch.builder, lane.topic, partition=lane.partition
                        )
                        self._watch(lane, batch, delivery)
        except (TimeoutError, KafkaError, OSError) as error:
            self._break(error)

    def _watch(self, lane: Lane, batch: Batch, delivery: asyncio.Future[object]) -> None:
        overdue = delivery.get_loop().call_later(self._timeout_seconds, self._on_overdue, lane, batch)
        delivery.add_done_callback(partial(self._on_delivery, lane, batch, overdue))

    # What went with a producer that has been given up is no longer in flight: its callers know that nobody
    # knows, and the producer in use has nothing to do with it.

    def _on_overdue(self, lane: Lane, batch: Batch) -> None:
        if lane.in_flight is batch:
            self._break(TimeoutError())

    def _on_delivery(
        self, lane: Lane, batch: Batch, overdue: asyncio.TimerHandle, delivery: asyncio.Future[object]
    ) -> None:
        overdue.cancel()
        error = TimeoutError() if delivery.cancelled() else delivery.exception()
        if lane.in_flight is not batch:
            return
        if error is not None:
            self._break(error)
            return
        lane.arrived()
        if lane.waiting:
            self._ready[lane] = None
            self._wake.set()

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = LogUnavailable(f"Kafka did not acknowledge: {cause(error)}")
            self._wake.set()


def _refuse_too_large(messages: Sequence[Message]) -> None:
    for message in messages:
        size = len(message.value) + len(message.key or b"")
        if size > MESSAGE_BYTES_MAX:
            raise PermanentError(f"a record of {size} bytes; at most {MESSAGE_BYTES_MAX}", code="too_large")
