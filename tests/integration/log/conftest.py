"""Topics and logs on the real Kafka, closed again when their test is over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from shared.clock import SystemClock
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection
from shared.log.topics import ensure_topics, topic_plan
from shared.settings import Settings
from tests.servers import KafkaServer

MakeTopic = Callable[..., Awaitable[str]]
OpenLog = Callable[..., KafkaLog]


@pytest.fixture
def connection(kafka: KafkaServer) -> KafkaConnection:
    return KafkaConnection(bootstrap_servers=kafka.bootstrap_servers)


@pytest.fixture
def own_connection(own_kafka: KafkaServer) -> KafkaConnection:
    return KafkaConnection(bootstrap_servers=own_kafka.bootstrap_servers)


@pytest.fixture
def make_topic(topic_name: str) -> MakeTopic:
    """`await make_topic(connection, partitions=2)` makes this test's topic and returns its name."""

    async def make(connection: KafkaConnection, *, partitions: int = 1) -> str:
        settings = Settings.model_validate({"KAFKA_PARTITIONS": partitions})
        await ensure_topics(connection, [topic_plan(topic_name, settings)])
        return topic_name

    return make


@pytest.fixture
async def open_log() -> AsyncIterator[OpenLog]:
    """`open_log(connection)` opens a log that is closed after the test."""
    async with AsyncExitStack() as stack:

        def open_one(connection: KafkaConnection, *, append_timeout_seconds: float = 10.0) -> KafkaLog:
            log = KafkaLog(connection, SystemClock(), append_timeout_seconds=append_timeout_seconds)
            stack.push_async_callback(log.close)
            return log

        yield open_one
