"""The servers that the other tests stand on do what those tests believe of them."""

import asyncio
import contextlib

import asyncpg
import pytest

from tests.servers import KafkaServer, PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


async def _answers(kafka: KafkaServer) -> bool:
    """Whether the broker answers an ApiVersions request (the first one of every client)."""
    host, port = kafka.bootstrap_servers.split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.write(bytes.fromhex("0000000a0012000000000007ffff"))
    try:
        async with asyncio.timeout(2):
            return (await reader.readexactly(8))[4:] == bytes.fromhex("00000007")
    except (TimeoutError, asyncio.IncompleteReadError, OSError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_kafka_dies_freezes_and_comes_back_at_the_same_address(own_kafka: KafkaServer) -> None:
    assert await _answers(own_kafka)
    own_kafka.freeze()
    assert not await _answers(own_kafka)
    own_kafka.thaw()
    assert await _answers(own_kafka)
    own_kafka.kill()
    assert not await _answers(own_kafka)
    own_kafka.start()
    assert await _answers(own_kafka)


async def test_a_postgres_that_is_killed_keeps_what_it_committed(own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (17)")
    own_postgres.kill()
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT n FROM kept")
    own_postgres.start()
    again = await asyncpg.connect(own_postgres.url)
    assert await again.fetchval("SELECT n FROM kept") == 17
    await again.close()


async def test_a_frozen_postgres_answers_nobody_until_it_thaws(own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    own_postgres.freeze()
    answer = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([answer], timeout=0.5)
    assert not done
    own_postgres.thaw()
    assert await answer == 1
    await connection.close()


async def test_each_test_gets_a_database_of_its_own(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT current_database()") == postgres_url.rsplit("/", 1)[1]
    await connection.close()
