"""The servers of the whole suite: each started once a session, and only when a test asks for it."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.servers import KafkaServer, PostgresServer, find_kafka, find_postgres
from tests.servers.fixtures import until_closed


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """Apache Kafka for everybody: use `topic_name`, and leave it running."""
    yield from until_closed(find_kafka)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL for everybody: use `postgres_url`, and leave it running."""
    yield from until_closed(find_postgres)


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """Apache Kafka for this test alone, to be stopped, killed and frozen."""
    yield from until_closed(lambda: find_kafka(own=True))


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """PostgreSQL for this test alone, to be stopped, killed and frozen."""
    yield from until_closed(lambda: find_postgres(own=True))


@pytest.fixture
async def postgres_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """A new, empty database on the common server."""
    url = await postgres.create_database()
    yield url
    await postgres.drop_database(url)


@pytest.fixture
def topic_name() -> str:
    """A topic that no other test uses."""
    return f"usage.test.{uuid4().hex}"
