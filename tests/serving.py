"""Ingest as it is served: uvicorn on a port of its own, the embedded log, keys in the same SQLite file."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI

from services.bootstrap import Foundations, assemble
from shared.auth import KeyRing
from shared.clock import Clock, SystemClock
from shared.config import Config
from shared.database import Database, open_sqlite
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, DeadLetter, Message, decode
from shared.log import Log, Record
from shared.log.embedded import EmbeddedLog
from shared.schema import metadata
from shared.settings import Settings

RECORDS_MAX = 100_000


def standing_on(
    *,
    config: Config,
    database: Database,
    log: Log,
    keys: KeyRing,
    clock: Clock,
    make_id: Callable[[], str] = lambda: str(uuid4()),
    events_per_second_max: int | None = None,
) -> Foundations:
    """What a test gives ingest to stand on; of the environment nothing is read but what it says here."""
    return Foundations(
        config=config,
        settings=Settings.model_validate({"EVENTS_PER_SECOND_MAX": events_per_second_max}),
        clock=clock,
        database=database,
        log=log,
        keys=keys,
        random=random.Random(1),
        make_id=make_id,
    )


def ingest_on(base: Foundations) -> FastAPI:
    """The application of `usage-triggers ingest`, wired as the program wires it."""
    return assemble(base, ["ingest"]).app


class Served:
    """A running ingest: where it is, a key for it, and what its log holds. Stopped, it can start again."""

    def __init__(self, database: Database, *, events_per_second_max: int | None = None) -> None:
        clock = SystemClock()
        self.log = EmbeddedLog(database, clock, partitions=3)
        self.keys = KeyRing(database, clock)
        self.key = ""
        self.port = 0
        self._base = standing_on(
            config=Config.model_validate({"products": {"reserve": {"time_zone": "Asia/Tokyo"}}}),
            database=database,
            log=self.log,
            keys=self.keys,
            clock=clock,
            events_per_second_max=events_per_second_max,
        )
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """On a free port, or on the one it had before."""
        if not self.key:
            self.key = await self.keys.create("reserve", scopes=["ingest", "customers"])
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        # Driven by startup and shutdown alone: serve() would take the signals of the test run.
        config = uvicorn.Config(
            ingest_on(self._base), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._listener])

    async def stop(self) -> None:
        """As a rolling restart does: what is being answered is answered, then nobody listens."""
        if self._server is not None and self._listener is not None:
            await self._server.shutdown(sockets=[self._listener])
            self._server = self._listener = None

    async def messages(self) -> list[Message]:
        return [decode(record.value) for record in await self._records(TOPIC_EVENTS)]

    async def letters(self) -> list[DeadLetter]:
        records = await self._records(TOPIC_DEAD_LETTERS)
        return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]

    async def until(self, event_count: int, seconds_max: float) -> None:
        """Returns when the log has so many records of events; raises TimeoutError."""
        consumer = await self.log.consumer(TOPIC_EVENTS, f"watcher-{uuid4()}")
        try:
            for partition in consumer.assignment():
                consumer.seek(partition, 0)
            seen_count = 0
            async with asyncio.timeout(seconds_max):
                while seen_count < event_count:
                    fetched = await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=1)
                    seen_count += sum(map(len, fetched.values()))
        finally:
            await consumer.close()

    async def days(self, customer_ids: Iterable[str]) -> dict[str, list[str]]:
        """The active days of customers, once an evaluator has read all there is."""
        assembly = assemble(self._base, ["evaluator"])
        evaluator = assembly.workers["evaluator"]
        while await evaluator.step():
            continue
        headers = {"Authorization": f"Bearer {await self.keys.create('reserve', scopes=['read'])}"}
        transport = httpx.ASGITransport(assembly.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as http:
            answers = {one: await http.get(f"/v1/customers/{one}/days") for one in customer_ids}
        await assembly.close()
        return {
            one: [day["day"] for day in answer.json().get("days", ()) if day["active"]]
            for one, answer in answers.items()
        }

    async def _records(self, topic: str) -> list[Record]:
        consumer = await self.log.consumer(topic, f"reader-{uuid4()}")
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        fetched = await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=0)
        await consumer.close()
        return [record for records in fetched.values() for record in records]


@asynccontextmanager
async def serving(directory: Path, *, events_per_second_max: int | None = None) -> AsyncIterator[Served]:
    """Ingest on an empty database in `directory`, until the end of the block."""
    database = open_sqlite(directory / "ingest.sqlite")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    served = Served(database, events_per_second_max=events_per_second_max)
    await served.start()
    try:
        yield served
    finally:
        await served.stop()
        await served.log.close()
        await database.close()
