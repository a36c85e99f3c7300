"""Ingest as it is served: uvicorn on a free port, the embedded log, keys in the same SQLite file."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
import uvicorn

from services.ingest.app import IngestParts, create_app
from shared.auth import KeyRing
from shared.clock import SystemClock
from shared.config import Config
from shared.database import open_sqlite
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, DeadLetter, Message, decode
from shared.log import Record
from shared.log.embedded import EmbeddedLog
from shared.schema import metadata

RECORDS_MAX = 100_000


class Served(msgspec.Struct, frozen=True):
    """A running ingest: where it is, a key for it, and what its log holds."""

    port: int
    key: str
    log: EmbeddedLog

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def messages(self) -> list[Message]:
        return [decode(record.value) for record in await self._records(TOPIC_EVENTS)]

    async def letters(self) -> list[DeadLetter]:
        records = await self._records(TOPIC_DEAD_LETTERS)
        return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]

    async def _records(self, topic: str) -> list[Record]:
        consumer = await self.log.consumer(topic, f"reader-{uuid4()}")
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        fetched = await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=0)
        await consumer.close()
        return [record for records in fetched.values() for record in records]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    database = open_sqlite(tmp_path / "ingest.sqlite")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    clock = SystemClock()
    log = EmbeddedLog(database, clock, partitions=3)
    keys = KeyRing(database, clock)
    parts = IngestParts(
        config=Config.model_validate({"products": {"reserve": {"time_zone": "Asia/Tokyo"}}}),
        log=log,
        keys=keys,
        clock=clock,
        make_id=lambda: str(uuid4()),
    )
    secret = await keys.create("reserve", scopes=["ingest", "customers"])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # Driven by startup and shutdown alone: serve() would take the signals of the test run.
        config = uvicorn.Config(
            create_app(parts), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        yield Served(listener.getsockname()[1], secret, log)
        await server.shutdown(sockets=[listener])
    await log.close()
    await database.close()
