"""A notifier with a log in memory, a clock that moves when told to, and receivers that answer as scripted."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.channels.http import Answer, Request
from services.notifier.parts import NotifierParts
from services.notifier.store import board, reading
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.lifecycle import Task
from services.notifier.wiring import Notifier
from shared import schema
from shared.auth import KeyRing
from shared.clock import Clock, ManualClock
from shared.config import Config
from shared.database import Database, open_sqlite
from shared.events import TOPIC_TRIGGERS, record_key
from shared.log import Message
from shared.triggers import Trigger, encode_trigger
from tests.fakes.log import MemoryLog
from tests.unit.notifier.cases import DAY, config

START = datetime.fromisoformat("2026-03-02T14:15:00+09:00")
OK = Answer(status=200, body=b"ok")


class Receivers:
    """Every endpoint of the test: answers by URL from a script, 200 where it has run out."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.scripts: defaultdict[str, list[Answer]] = defaultdict(list)

    def will_answer(self, part_of_url: str, *answers: Answer) -> None:
        self.scripts[part_of_url] += answers

    def to(self, part_of_url: str) -> list[Request]:
        return [request for request in self.requests if part_of_url in request.url]

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        for part, answers in self.scripts.items():
            if part in request.url and answers:
                return answers.pop(0)
        return OK

    async def close(self) -> None:
        return


async def on_record(database: Database, *triggers: Trigger, now_us: int = 0) -> None:
    """The rows that the evaluator writes before it publishes them."""
    async with database.begin() as connection:
        for trigger in triggers:
            row = {
                "id": trigger.id,
                "topic": TOPIC_TRIGGERS,
                "product": trigger.data.product,
                "customer_id": trigger.data.customer.id,
                "value": encode_trigger(trigger),
                "created_us": now_us,
                "sent_us": 0,
            }
            await connection.execute(
                insert(schema.outbox).prefix_with("OR IGNORE", dialect="sqlite").values(row)
            )


class World:
    """One notifier and what surrounds it."""

    def __init__(
        self, database: Database, config: Config, make_receivers: Callable[[Clock], Receivers]
    ) -> None:
        self.clock = ManualClock(START)
        self.log = MemoryLog(self.clock)
        self.receivers = make_receivers(self.clock)
        self.database = database
        self.keys = KeyRing(database, self.clock)
        self.parts = NotifierParts(
            config=config,
            database=database,
            log=self.log,
            keys=self.keys,
            clock=self.clock,
            random=random.Random(7),
            open_client=lambda _allow_private: self.receivers,
            public_url="https://calls.example",
            fetch_seconds=0,
        )
        self.notifier = Notifier(self.parts)

    async def publish(self, *triggers: Trigger | bytes) -> None:
        for trigger in triggers:
            key = None
            if isinstance(trigger, Trigger):
                key = record_key(trigger.data.product, trigger.data.customer.id)
                await on_record(self.parts.database, trigger, now_us=self.clock.now_us())
                trigger = encode_trigger(trigger)
            await self.log.append(TOPIC_TRIGGERS, [Message(key=key or b"?/?", value=trigger)])

    async def read(self, *triggers: Trigger | bytes) -> None:
        """Publishes and takes in."""
        await self.publish(*triggers)
        assert await self.notifier.intake.step()

    async def send(self) -> None:
        """Sends until nothing is due."""
        while await self.notifier.sender.step():
            pass

    async def after(self, **span: float) -> None:
        """Lets time pass, and tasks and senders notice."""
        self.clock.advance(timedelta(**span))
        while await self.notifier.timekeeper.step():
            pass
        await self.send()

    async def settle_everybody(self) -> None:
        """As if the evaluator had judged every customer up to now."""
        judged_us = self.clock.now_us() + DAY
        async with self.database.begin() as connection:
            await connection.execute(update(schema.customers).values(due_us=judged_us))

    async def tasks(self, **wanted: Any) -> Sequence[Task]:
        async with self.database.read() as connection:
            return await board.page(connection, TaskFilter(**wanted), count_max=10_000)

    async def task(self) -> Task:
        (only,) = await self.tasks()
        return only

    async def deliveries(self, task_id: str | None = None) -> list[Delivery]:
        async with self.database.read() as connection:
            if task_id is not None:
                return await reading.deliveries_of(connection, task_id)
            return [d for t in await self.tasks() for d in await reading.deliveries_of(connection, t.id)]

    async def rows(self, table: str) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(select(schema.metadata.tables[table]))).all())


@asynccontextmanager
async def world(
    path: Path,
    config_: Config | None = None,
    make_receivers: Callable[[Clock], Receivers] = lambda _clock: Receivers(),
) -> AsyncIterator[World]:
    """A world on a new SQLite file."""
    database = open_sqlite(path / "notifier.db")
    try:
        async with database.begin() as connection:
            await create_tables(connection)
        made = World(database, config_ or config(), make_receivers)
        yield made
        await made.notifier.close()
    finally:
        await database.close()


async def create_tables(connection: AsyncConnection) -> None:
    await connection.run_sync(schema.metadata.create_all)
