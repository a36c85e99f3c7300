"""The one place that touches aiokafka's private parts: ends clients for good, and asks whether they live.

aiokafka's own `stop` waits for batches that an idempotent producer never gives up and for a
coordinator that may be gone; and a client whose background task has died goes on as if nothing had
happened (decision record 0011). A test fails when an upgrade moves what is used here.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from shared import tracing
from shared.errors import LogUnavailable
from shared.log import Message
from shared.log.kafka_connection import cause

CONNECT_SECONDS = 5.0
STOP_SECONDS = 5.0
ABANDON_SECONDS = 2.0
_NO_HEADERS: list[tuple[str, bytes]] = []  # one for all, for this is asked of every record there is

_Task = asyncio.Task[Any]


class _Connections:
    """All that one client makes: aiokafka knows nothing of one that is made while its client is cancelled
    or closed, and would leave it open."""

    def __init__(self) -> None:
        self._made = WeakSet[AIOKafkaConnection]()
        self._is_over = False

    def add(self, connection: AIOKafkaConnection) -> None:
        self._made.add(connection)
        if self._is_over:
            connection.close()

    def close(self) -> None:
        self._is_over = True
        for connection in list(self._made):
            connection.close()


_connections_of = WeakKeyDictionary[aiokafka.client.AIOKafkaClient, _Connections]()
_connections: ContextVar[_Connections | None] = ContextVar("connections", default=None)


async def _create_and_note(*arguments: Any, **named: Any) -> AIOKafkaConnection:
    connection = await create_conn(*arguments, **named)
    if (connections := _connections.get()) is not None:
        connections.add(connection)
    return connection


aiokafka.client.create_conn = _create_and_note


async def start_producer(producer: AIOKafkaProducer) -> None:
    """As `start`; whatever comes of it, `abandon_producer` leaves nothing open."""
    await _start(producer, producer.client)


async def start_admin(admin: AIOKafkaAdminClient) -> None:
    """As `start`; whatever comes of it, `close_admin` leaves nothing open."""
    await _start(admin, admin._client)


async def close_admin(admin: AIOKafkaAdminClient) -> None:
    await admin.close()
    _close_connections(admin._client)


async def abandon_producer(producer: AIOKafkaProducer) -> None:
    """Leave it at once: what it was sending may or may not arrive."""
    producer._closed = True  # what `stop` sets; without it the garbage collector complains
    await _abandon(producer.client, [producer._sender.sender_task])


async def start_consumer(consumer: AIOKafkaConsumer) -> None:
    """Start it, or leave nothing of it behind; raises LogUnavailable when no broker answers in time."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _start(consumer, consumer._client)
    except (TimeoutError, KafkaError, OSError) as error:
        await abandon_consumer(consumer)
        raise LogUnavailable(f"Kafka does not answer: {cause(error)}") from error
    except BaseException:
        await abandon_consumer(consumer)
        raise


async def stop_consumer(consumer: AIOKafkaConsumer, *, seconds: float = STOP_SECONDS) -> None:
    """Stop it in order, so that its group shares its partitions at once, or abandon it if that hangs."""
    if await _succeeds(consumer.stop(), seconds):
        _close_connections(consumer._client)
    else:
        await abandon_consumer(consumer)


async def abandon_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave it at once; its group notices when the session ends."""
    consumer._closed = True
    tasks = [
        getattr(consumer._coordinator, name, None)
        for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    ]
    if consumer._fetcher is not None:
        consumer._fetcher._closed = True
        tasks += [consumer._fetcher._fetch_task, *consumer._fetcher._pending_tasks]
    await _abandon(consumer._client, tasks)


class FoundRecord(Protocol):
    """A record as aiokafka finds it in a batch; `timestamp` in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def hand_out_as(consumer: AIOKafkaConsumer, handed_out: Callable[[TopicPartition, FoundRecord], Any]) -> None:
    """Let `getmany` hand out what `handed_out` makes of a record found.

    A `ConsumerRecord` of aiokafka's own costs more than decoding the record, and every few thousand of them
    have the garbage collector look through all the memory there is (decision record 0115).
    """
    consumer._fetcher._records = _Fetched(handed_out)


class _Fetched(dict[TopicPartition, Any]):
    """What a consumer has fetched and not handed out yet."""

    def __init__(self, handed_out: Callable[[TopicPartition, FoundRecord], Any]) -> None:
        super().__init__()
        self._handed_out = handed_out

    def __setitem__(self, place: TopicPartition, fetched: Any) -> None:
        if isinstance(fetched, FetchResult):
            fetched._partition_records._consumer_record = self._handed_out
        super().__setitem__(place, fetched)


def append_records(batch: BatchBuilder, messages: Iterable[Message], timestamp_ms: int) -> int:
    """How many of the messages have found room in the batch; it is closed when one has not.

    As its own `append` does for each, which takes twice as long for what it looks at every time.
    """
    append = batch._builder.append
    first: int = batch.record_count()
    offset = first
    for message in messages:
        headers = _NO_HEADERS if message.traceparent is None else _headers_of(message.traceparent)
        if append(offset, timestamp_ms, message.key, message.value, headers) is None:
            batch.close()
            break
        offset += 1
    batch._relative_offset = offset
    return offset - first


def _headers_of(traceparent: str) -> list[tuple[str, bytes]]:
    return [(tracing.HEADER, traceparent.encode())]


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a task that it cannot do without has ended."""
    tasks = (
        consumer._client._sync_task,
        consumer._fetcher and consumer._fetcher._fetch_task,
        getattr(consumer._coordinator, "_coordination_task", None),
    )
    return any(task is not None and task.done() for task in tasks)


def raise_group_errors(consumer: AIOKafkaConsumer) -> None:
    """Raise what its coordinator has to say (KafkaError), and tell it that its owner is alive.

    `getmany` does both too, but waits for the end of a rebalance however long that takes.
    """
    consumer._coordinator.check_errors()
    with consumer._subscription.fetch_context():
        return


async def _start(starting: Any, client: aiokafka.client.AIOKafkaClient) -> None:
    """The tasks that it starts inherit the context, so that their connections are noted as well."""
    connections = _connections_of[client] = _Connections()
    before = _connections.set(connections)
    try:
        await starting.start()
    finally:
        _connections.reset(before)


def _close_connections(client: aiokafka.client.AIOKafkaClient) -> None:
    if (connections := _connections_of.get(client)) is not None:
        connections.close()


async def _abandon(client: Any, tasks: Iterable[_Task | None]) -> None:
    started = [task for task in tasks if task is not None]
    for task in started:
        task.cancel()
    # Closing the connections makes the requests that those tasks wait for fail at once.
    await _succeeds(client.close(), ABANDON_SECONDS)
    _close_connections(client)
    # Nobody updates the metadata any more: whoever waits for that would wait for ever.
    if client._md_update_fut is not None and not client._md_update_fut.done():
        client._md_update_fut.set_result(False)
    if started:
        await asyncio.wait(started, timeout=ABANDON_SECONDS)
    for task in started:
        if task.done() and not task.cancelled():
            task.exception()  # read, so that nobody complains that it was not


async def _succeeds(ending: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Whether `ending` ends well in time. In a task of its own, because aiokafka lets the cancellation
    of its own tasks out of `stop`, where it would look like ours."""
    task = asyncio.create_task(ending)
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=ABANDON_SECONDS)
        return False
    return not task.cancelled() and task.exception() is None
