"""The workers running side by side on the embedded log, with the machine's own clock and real sockets."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.notifier.parts import NotifierParts
from services.notifier.store import board
from services.notifier.store.board import TaskFilter
from services.notifier.wiring import Notifier
from shared.auth import KeyRing
from shared.clock import SystemClock
from shared.config import Config
from shared.database import Database, open_sqlite
from shared.events import TOPIC_TRIGGERS, record_key
from shared.log import Message
from shared.log.embedded import EmbeddedLog
from shared.triggers import Trigger, encode_trigger
from tests.integration.notifier.test_http import Receiver, receiver, saying
from tests.integration.notifier.world import create_tables, on_record
from tests.unit.notifier.cases import SECRET, stop

FINE = saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def pointing_at(**urls: str) -> Config:
    """A product that calls these webhooks, each a channel of its own."""
    channels = {
        name: {"kind": "webhook", "url": url, "secret": SECRET, "allow_private": True}
        for name, url in urls.items()
    }
    playbook = {"on": "usage.stopped", "send": list(urls)}
    return Config.model_validate({"products": {"reserve": {"playbooks": [playbook]}}, "channels": channels})


@asynccontextmanager
async def running(path: Path, config_: Config) -> AsyncIterator[tuple[Database, EmbeddedLog]]:
    clock = SystemClock()
    database = open_sqlite(path / "running.db")
    async with database.begin() as connection:
        await create_tables(connection)
    log = EmbeddedLog(database, clock)
    parts = NotifierParts(
        config=config_,
        database=database,
        log=log,
        keys=KeyRing(database, clock),
        clock=clock,
        random=random.Random(1),
    )
    notifier, stopping = Notifier(parts), asyncio.Event()
    workers = [asyncio.create_task(worker.run(stopping)) for worker in notifier.workers.values()]
    try:
        yield database, log
    finally:
        stopping.set()
        await asyncio.gather(*workers)
        await notifier.close()
        await log.close()
        await database.close()


async def publish(database: Database, log: EmbeddedLog, *triggers: Trigger) -> None:
    await on_record(database, *triggers)
    await log.append(
        TOPIC_TRIGGERS,
        [Message(key=record_key("reserve", t.data.customer.id), value=encode_trigger(t)) for t in triggers],
    )


def ids(made: Receiver) -> list[str]:
    heads = [request.partition(b"\r\n\r\n")[0].decode() for request in made.requests]
    return [line[12:] for head in heads for line in head.split("\r\n") if line.startswith("webhook-id: ")]


async def test_what_is_published_reaches_the_receiver_by_itself(tmp_path: Path) -> None:
    async with receiver(FINE) as phone, running(tmp_path, pointing_at(phone=phone.url)) as (database, log):
        many = [stop(f"c-{n}") for n in range(60)]
        await publish(database, log, *many)
        await phone.has(60)
        assert sorted(ids(phone)) == sorted(trigger.id for trigger in many)
        async with database.read() as connection:
            tasks = await board.page(connection, TaskFilter(), count_max=99)
        assert len(tasks) == 60


async def test_a_receiver_that_hangs_makes_no_other_wait(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def hangs(_head: bytes, _writer: asyncio.StreamWriter) -> None:
        await released.wait()

    async with (
        receiver(hangs) as stuck,
        receiver(FINE) as phone,
        running(tmp_path, pointing_at(stuck=stuck.url, phone=phone.url)) as (database, log),
    ):
        await publish(database, log, *(stop(f"c-{n}") for n in range(40)))
        await phone.has(40)
        # Ten hang, which is all the room their channel has.
        assert len(stuck.requests) <= 10
        released.set()
