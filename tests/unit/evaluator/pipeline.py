"""The evaluator's whole shell on a log in memory and a database in a file, driven step by step."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.evaluator.changes import Batch, CustomerKey, CustomerRow, Position
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.core.state import decode_state
from services.evaluator.relay import Relay
from services.evaluator.store import EvaluatorStore
from services.evaluator.ticker import Ticker
from services.evaluator.worker import Evaluator
from shared.clock import ManualClock, to_us
from shared.config import Config
from shared.database import Database, open_sqlite
from shared.errors import StoreUnavailable
from shared.events import (
    TOPIC_DEAD_LETTERS,
    TOPIC_EVENTS,
    TOPIC_TRIGGERS,
    CustomerErased,
    DayExcused,
    DeadLetter,
    Event,
    Profile,
    ProfileChanged,
    Tick,
    encode,
    record_key,
)
from shared.log import Message
from shared.schema import metadata
from shared.triggers import Trigger, decode_trigger
from tests.fakes.log import MemoryLog

START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
STEPS_MAX = 10_000

RULES: dict[str, Any] = {
    "habit": {"kind": "streak", "days": 3, "emit": "habit.formed"},
    "stopped": {"kind": "absence", "expect": "calendar", "grace": "0s"},
}


def products_of(rules: Mapping[str, Any] = RULES, *names: str) -> dict[str, Product]:
    """Compiled products `p` (and others named), all with the same rules, in UTC."""
    sections = {name: {"rules": dict(rules)} for name in ("p", *names)}
    config = Config.model_validate({"products": sections})
    return {name: compile_product(name, section) for name, section in config.products.items()}


class FailingStore(EvaluatorStore):
    """A store that counts its batches, goes away when told to, and can lose the answer to a commit."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_away = False
        self.loses_answers = 0
        self.batches: list[Batch] = []
        self.loaded: list[CustomerKey] = []
        self.swept: list[int] = []

    async def claim(self, partition: int, *, beginning: int, now_us: int) -> Position:
        self._answer()
        return await super().claim(partition, beginning=beginning, now_us=now_us)

    async def load(self, keys: Collection[CustomerKey]) -> dict[CustomerKey, CustomerRow]:
        self._answer()
        self.loaded += keys
        return await super().load(keys)

    async def due(
        self, partition: int, products: Collection[str], *, before_us: int, rows_max: int
    ) -> list[CustomerRow]:
        self._answer()
        rows = await super().due(partition, products, before_us=before_us, rows_max=rows_max)
        self.swept.append(len(rows))
        return rows

    async def write(self, batch: Batch, *, now_us: int) -> None:
        self._answer()
        await super().write(batch, now_us=now_us)
        self.batches.append(batch)
        if self.loses_answers:
            self.loses_answers -= 1
            raise StoreUnavailable("the answer to COMMIT was lost")

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the database does not answer")


class Pipeline:
    """One evaluator at a time is `evaluator`; `restart` kills it without a word and starts another."""

    def __init__(self, log: MemoryLog, database: Database, clock: ManualClock, **options: Any) -> None:
        self.log = log
        self.database = database
        self.store = FailingStore(database)
        self.clock = clock
        self.options = {"products": products_of(), "fetch_wait_seconds": 0.0, **options}
        self.started: list[Evaluator] = []
        self.restart()

    def restart(self, **options: Any) -> Evaluator:
        """A new evaluator, as after a kill: the old one neither writes nor closes anything."""
        for (_topic, _group), members in self.log._groups.items():
            members.clear()
        return self.join(**options)

    def join(self, **options: Any) -> Evaluator:
        """One more evaluator in the group."""
        self.options |= options
        self.evaluator = Evaluator(log=self.log, store=self.store, clock=self.clock, **self.options)
        self.ticker = Ticker(
            log=self.log, clock=self.clock, awaiting=self.evaluator.awaiting_ticks, every_seconds=5
        )
        self.relay = Relay(
            store=self.store, log=self.log, clock=self.clock, partitions=self.evaluator.partitions
        )
        self.started.append(self.evaluator)
        return self.evaluator

    # What goes in

    def at(self, day: int, hour: int = 0, minute: int = 0) -> None:
        """Set the clock to a time of a day, counted from START."""
        self.clock.set(START + timedelta(days=day, hours=hour, minutes=minute))

    async def append(self, message: Any, *, partition: int | None = None) -> None:
        key = None
        if isinstance(message, Event | ProfileChanged | CustomerErased):
            key = record_key(message.product, message.customer_id)
        await self.log.append(TOPIC_EVENTS, [Message(value=encode(message), key=key, partition=partition)])

    async def use(self, customer_id: str, *, ago: timedelta = timedelta(0), **fields: Any) -> None:
        """An event of a customer, now or some time ago."""
        await self.append(self.event(customer_id, ago=ago, **fields))

    def event(self, customer_id: str, *, ago: timedelta = timedelta(0), **fields: Any) -> Event:
        now_us = self.clock.now_us()
        occurred_us = now_us - ago // timedelta(microseconds=1)
        values = {"product": "p", "customer_id": customer_id, "event_id": f"{customer_id}@{occurred_us}"}
        return Event(**{**values, "occurred_us": occurred_us, "received_us": now_us, **fields})

    async def profile(self, customer_id: str, **fields: Any) -> None:
        now_us = self.clock.now_us()
        profile = Profile(**fields)
        await self.append(
            ProfileChanged(product="p", customer_id=customer_id, profile=profile, received_us=now_us)
        )

    async def erase(self, customer_id: str) -> None:
        now_us = self.clock.now_us()
        await self.append(CustomerErased(product="p", customer_id=customer_id, received_us=now_us))

    async def excuse(self, day: int) -> None:
        on = (START + timedelta(days=day)).date()
        for partition in range(await self.log.partitions(TOPIC_EVENTS)):
            excused = DayExcused(product="p", day=on, received_us=self.clock.now_us())
            await self.append(excused, partition=partition)

    async def tick(self, partition: int = 0, *, ahead: timedelta = timedelta(0)) -> None:
        """A tick straight into the log, by a clock that may be ahead of the log's."""
        at_us = self.clock.now_us() + ahead // timedelta(microseconds=1)
        await self.append(Tick(at_us=at_us), partition=partition)

    async def poison(self, value: bytes = b"\xff", *, count: int = 1) -> None:
        await self.log.append(TOPIC_EVENTS, [Message(value=value, key=b"p/c")] * count)

    # What is done

    async def drain(self) -> int:
        """Step until nothing is left to do, twice in a row; returns how many steps had something to do."""
        busy = idle = 0
        while idle < 2:
            idle = 0 if await self.evaluator.step() else idle + 1
            busy += idle == 0
            assert busy < STEPS_MAX, "the evaluator does not come to an end"
        return busy

    async def settle(self) -> None:
        """Time goes into the log, everything is read, everything told is sent."""
        await self.drain()
        await self.ticker.step()
        await self.drain()
        while await self.relay.step():
            pass

    # What comes out

    def triggers(self) -> list[Trigger]:
        """Everything in the topic of triggers, partition by partition."""
        return [decode_trigger(value) for value in self._sent(TOPIC_TRIGGERS)]

    def told(self) -> list[tuple[str, str, str]]:
        """Customer, type and day of every trigger sent."""
        return [(t.data.customer.id, t.type, t.data.day.isoformat()) for t in self.triggers()]

    def dead_letters(self) -> list[DeadLetter]:
        return [msgspec.json.decode(value, type=DeadLetter) for value in self._sent(TOPIC_DEAD_LETTERS)]

    def _sent(self, topic: str) -> list[bytes]:
        count = self.log._partition_count
        return [record.value for n in range(count) for record in self.log.records(topic, n)]

    async def position(self, partition: int = 0) -> int:
        return (await self.store.claim(partition, beginning=0, now_us=0)).next_offset


@asynccontextmanager
async def pipeline(tmp_path: Path, *, partitions: int = 1, **options: Any) -> AsyncIterator[Pipeline]:
    """A pipeline on new files, closed at the end."""
    clock = ManualClock(START)
    database = open_sqlite(tmp_path / "evaluator.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    try:
        yield Pipeline(MemoryLog(clock, partitions=partitions), database, clock, **options)
    finally:
        await database.close()


def instant_us(day: int, hour: int = 0, minute: int = 0) -> int:
    return to_us(START + timedelta(days=day, hours=hour, minutes=minute))


async def use_daily(p: Pipeline, *customers: str, days: int) -> None:
    """Every customer uses the product at noon on each of the first days."""
    for day in range(days):
        p.at(day, 12)
        for customer in customers:
            await p.use(customer)
    await p.settle()


async def state_of(p: Pipeline, customer: str) -> Any:
    row = await p.store.customer("p", customer)
    return None if row is None else decode_state(row.state)
