"""What a client of aiokafka leaves behind: no connection, whenever it is left."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import LogUnavailable
from shared.log import aiokafka_inside
from shared.log.aiokafka_inside import (
    abandon_producer,
    close_admin,
    start_admin,
    start_consumer,
    start_producer,
)
from shared.log.kafka_connection import KafkaConnection
from tests.begun import begun

API_VERSIONS, METADATA = 18, 3


class Mute:
    """A broker that tells its versions and answers nothing after that; `asked` is set by the next request."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                api, _, correlation_id = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                if api == API_VERSIONS:
                    body = struct.pack(">ihi", correlation_id, 0, 1) + struct.pack(">hhh", METADATA, 0, 1)
                    writer.write(struct.pack(">i", len(body)) + body)
                else:
                    self.asked.set()
        except asyncio.IncompleteReadError:
            self.closed.set()
        finally:
            writer.close()


@asynccontextmanager
async def mute_broker() -> AsyncIterator[Mute]:
    mute = Mute()
    server = await asyncio.start_server(mute.serve, "127.0.0.1", 0)
    async with server:
        mute.port = server.sockets[0].getsockname()[1]
        yield mute


@pytest.fixture
async def mute() -> AsyncIterator[Mute]:
    async with mute_broker() as broker:
        yield broker


@pytest.fixture
def to_mute(mute: Mute) -> KafkaConnection:
    return KafkaConnection(bootstrap_servers=f"127.0.0.1:{mute.port}")


@pytest.mark.parametrize(
    ("kind", "start", "leave"),
    [
        pytest.param(AIOKafkaProducer, start_producer, abandon_producer, id="producer"),
        pytest.param(AIOKafkaAdminClient, start_admin, close_admin, id="admin"),
    ],
)
async def test_a_client_left_while_it_asks_for_the_cluster_leaves_no_connection(
    mute: Mute,
    to_mute: KafkaConnection,
    kind: Callable[..., Any],
    start: Callable[[Any], Coroutine[Any, Any, None]],
    leave: Callable[[Any], Awaitable[None]],
) -> None:
    client = kind(**to_mute.arguments())
    [starting] = await begun(start(client))
    async with asyncio.timeout(10):
        await mute.asked.wait()
        starting.cancel()
        # Whoever keeps the error keeps the frames in which aiokafka held its connection.
        with pytest.raises(asyncio.CancelledError) as kept:
            await starting
        await leave(client)
        await mute.closed.wait()
    assert kept.traceback


async def test_a_consumer_that_gets_no_answer_leaves_no_connection(
    mute: Mute, to_mute: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiokafka_inside, "CONNECT_SECONDS", 0.2)
    consumer = aiokafka_inside.AIOKafkaConsumer(**to_mute.arguments())
    with pytest.raises(LogUnavailable) as kept:
        await start_consumer(consumer)
    async with asyncio.timeout(10):
        await mute.closed.wait()
    assert kept.traceback


@pytest.mark.kafka
async def test_a_connection_that_a_client_makes_after_it_was_left_is_closed_at_once(
    connection: KafkaConnection,
) -> None:
    producer = AIOKafkaProducer(**connection.arguments())
    await start_producer(producer)
    [node_id] = [broker.nodeId for broker in producer.client.cluster.brokers()]
    await abandon_producer(producer)
    # As a task of its own does that was in the middle of it.
    before = aiokafka_inside._connections.set(aiokafka_inside._connections_of[producer.client])
    late = await producer.client._get_conn(node_id)
    aiokafka_inside._connections.reset(before)
    assert not late.connected()
