"""A process that feeds a log and evaluates it, on a clock of its own, and that may be killed anywhere.

    python -m tests.integration.evaluator.program DIRECTORY

Like any client, the feeder sends again what it does not know to be taken; how far it has come it notes in a
file, once that much time has been told. Ends with status 0 once everything is told and sent.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.migrations.upgrade import bring_up
from services.evaluator.core.rules import compile_product
from services.evaluator.relay import Relay
from services.evaluator.store import EvaluatorStore
from services.evaluator.ticker import Ticker
from services.evaluator.worker import Evaluator
from shared.clock import ManualClock, to_us
from shared.config import ProductSection
from shared.database import Database, open_sqlite
from shared.events import TOPIC_EVENTS, Event, encode, record_key
from shared.log import Message
from shared.log.embedded import EmbeddedLog

FILE = "evaluator.db"
START = datetime(2026, 3, 2, tzinfo=UTC)
PARTITIONS = 3
DAYS = 5
CUSTOMERS = tuple(f"c-{n}" for n in range(7))
POISON = Message(value=b"no message", key=b"p/poison")
SECTION = ProductSection.model_validate(
    {
        "rules": {
            "habit": {"kind": "streak", "days": 3, "emit": "habit.formed"},
            "stopped": {"kind": "absence", "expect": "calendar", "cutoff": "14:00"},
        }
    }
)


def feed() -> Iterator[tuple[datetime, list[Message]]]:
    """Instants with what a client sends then, or with nothing but time passing.

    On every day each customer is active but one or two; one of these comes back late, with use in time.
    """
    for day in range(DAYS):
        at = START + timedelta(days=day, hours=12)
        yield at, [use(name, at) for n, name in enumerate(CUSTOMERS) if (n + day) % 4] + [POISON]
        yield at + timedelta(hours=3), []
        yield at + timedelta(hours=5), [use(CUSTOMERS[-day % 4], at)]


def use(name: str, at: datetime) -> Message:
    event = Event(
        product="p", customer_id=name, event_id=f"{name}@{at}", occurred_us=to_us(at), received_us=to_us(at)
    )
    return Message(value=encode(event), key=record_key("p", name))


async def evaluate(directory: Path, database: Database) -> None:
    await bring_up(database)
    clock = ManualClock(START)
    log = EmbeddedLog(database, clock, partitions=PARTITIONS)
    store = EvaluatorStore(database)
    evaluator = Evaluator(
        log=log,
        store=store,
        products={"p": compile_product("p", SECTION)},
        clock=clock,
        fetch_wait_seconds=0.0,
        customers_per_sweep_max=1,
    )
    ticker = Ticker(log=log, clock=clock, awaiting=evaluator.awaiting_ticks, every_seconds=5)
    relay = Relay(store=store, log=log, clock=clock, partitions=evaluator.partitions, rows_max=2)
    progress = directory / "progress"
    fed_count = int(progress.read_text()) if progress.exists() else 0
    for number, (at, messages) in enumerate(feed()):
        if number < fed_count:
            continue
        clock.set(at)
        await log.append(TOPIC_EVENTS, messages)
        await settle(evaluator, ticker, relay)
        clock.advance(timedelta(seconds=1))
        await settle(evaluator, ticker, relay)
        note(progress, number + 1)
    clock.set(START + timedelta(days=DAYS))
    await settle(evaluator, ticker, relay)
    await evaluator.close()
    await log.close()


async def settle(evaluator: Evaluator, ticker: Ticker, relay: Relay) -> None:
    """Read and judge all there is, with the present time; send what is told."""
    for tells_time in (False, True):
        if tells_time:
            await ticker.step()
        while await evaluator.step():
            pass
        await evaluator.step()
    while await relay.step():
        pass


def note(progress: Path, count: int) -> None:
    """Whole or not at all, for this is the client's memory."""
    draft = progress.with_suffix(".new")
    draft.write_text(str(count))
    os.replace(draft, progress)


async def main(directory: Path) -> None:
    database = open_sqlite(directory / FILE)
    try:
        await evaluate(directory, database)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
