"""One midnight at which everybody is due: settled while new events are read, and memory stays flat.

    python -m bench.midnight [--customers 1000000] [--silent 0.03] [--events-a-second 1000]

Real Kafka and PostgreSQL. Everybody's row is due at one instant; those who were there in time have nothing to
be told of, the silent ones have stopped. Meanwhile new customers post, and are read between the parts of the
sweep. Counted: how long it takes, the stops, the events read meanwhile, this process's memory; and how long
one UPDATE ... RETURNING of the same rows takes afterwards, which judges nobody and reads nothing meanwhile.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import psutil

from bench.on_kafka import PARTITIONS, PARTS, opened_log, own_servers, server_versions
from bench.record import conclude, result
from bench.result import Curve, Figure, Result, Target, compare, rate
from deploy.migrations.upgrade import bring_up
from services.evaluator import engine
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.core.state import CustomerState, encode_state
from services.evaluator.store import READER, EvaluatorStore
from services.evaluator.ticker import Ticker
from services.evaluator.worker import Evaluator
from shared.clock import SystemClock, to_us
from shared.config import ProductSection
from shared.database import Database, open_postgres
from shared.events import TOPIC_EVENTS, Event, encode, record_key
from shared.log import Message
from shared.log.kafka import KafkaLog
from shared.partitioner import murmur2_partition
from tests.servers import KafkaServer, PostgresServer

PRODUCT = "reserve"
HABIT_DAYS = 20
ROWS_PER_COPY = 50_000
LOOK_SECONDS = 0.5
NEW_CUSTOMERS = 20_000
"""They post again and again: a customer costs memory as long as it is seen, up to a bound of its own."""

TARGET = Target(
    at_most=3,
    why_missed="every state goes to the evaluator, is decoded, judged, encoded, and comes back",
)

DAY = timedelta(days=1)
MEBIBYTE = 1 << 20
SETTLED = "all of them settled"
SHARES = (100, 10, 1)
"""How it grows is seen at a hundredth and a tenth of the customers; all figures are of all of them."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How many are due, which share of them is silent, and how many new customers come a second."""

    customers: int
    silent: float
    events_a_second: int


class Seen(msgspec.Struct, kw_only=True):
    """What was measured."""

    settled_seconds: float = 0.0
    posted: int = 0
    memory_first: int = 0
    memory_peak: int = 0


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--silent", type=float, default=0.03)
    parser.add_argument("--events-a-second", type=int, default=1_000)
    given = parser.parse_args()
    largest = Size(customers=given.customers, silent=given.silent, events_a_second=given.events_a_second)
    points: list[tuple[float, float]] = []
    for share in SHARES:
        size = msgspec.structs.replace(largest, customers=largest.customers // share)
        with own_servers() as (kafka, postgres):
            found = asyncio.run(_measure(kafka, postgres, size))
        points.append((size.customers, found.figure(SETTLED).median))
        print(f"{size.customers:,} settled in {points[-1][1]:.1f} s", flush=True)
    grown = Curve(name=SETTLED, across="customers due", unit="s", points=tuple(points))
    return msgspec.structs.replace(found, curves=(grown,))


async def _measure(kafka: KafkaServer, postgres: PostgresServer, size: Size) -> Result:
    async with _opened(kafka, postgres) as (log, database, url):
        deadline_us = await _seed(url, size)
        seen = Seen()
        stop = asyncio.Event()
        evaluator = _evaluator(log, database)
        ticker = Ticker(log=log, clock=SystemClock(), awaiting=evaluator.awaiting_ticks, every_seconds=5)
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(evaluator.run(stop))
            tasks.create_task(ticker.run(stop))
            tasks.create_task(_post(log, size, seen, stop))
            tasks.create_task(_watch_memory(seen, stop))
            await _until_settled(url, deadline_us, stop)
            seen.settled_seconds = time.perf_counter() - begun
            stop.set()
        stops, newcomers = await _outcome(url)
        updated_seconds = await _update(url, size)
    expected = _silent_count(size)
    assert stops == expected, f"{stops} stops, {expected} expected"
    settled = Figure(name=SETTLED, unit="s", values=(seen.settled_seconds,))
    updated = Figure(name="one UPDATE ... RETURNING", unit="s", values=(updated_seconds,))
    return result(
        "midnight",
        __doc__,
        load=f"{size.customers:,} due at one instant, {expected:,} of them silent; "
        f"meanwhile {seen.posted:,} events of {newcomers:,} new customers",
        figures=[
            settled,
            rate("customers settled", "customers", size.customers, settled.values),
            updated,
            Figure(name="resident at first", unit="MiB", values=(seen.memory_first / MEBIBYTE,)),
            Figure(name="resident at most", unit="MiB", values=(seen.memory_peak / MEBIBYTE,)),
        ],
        comparisons=[compare(settled, updated, TARGET)],
        parts=PARTS,
        versions=await server_versions(postgres),
    )


@asynccontextmanager
async def _opened(
    kafka: KafkaServer, postgres: PostgresServer
) -> AsyncIterator[tuple[KafkaLog, Database, str]]:
    async with opened_log(kafka) as log:
        database = open_postgres(postgres.url)
        try:
            await bring_up(database)
            yield log, database, postgres.url
        finally:
            await database.close()


def _evaluator(log: KafkaLog, database: Database) -> Evaluator:
    products = {PRODUCT: _product()}
    return Evaluator(log=log, store=EvaluatorStore(database), products=products, clock=SystemClock())


def _product() -> Product:
    rule = {"kind": "absence", "expect": "calendar", "grace": "0s"}
    section = {"calendar": {"learn_closed_weekdays": False}, "rules": {"stopped": rule}}
    return compile_product(PRODUCT, ProductSection.model_validate(section))


# What stands in the database a moment before midnight


async def _seed(url: str, size: Size) -> int:
    """Everybody's row, due at the last midnight; returns that instant."""
    today = datetime.fromtimestamp(SystemClock().now_us() / 1e6, tz=UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    midnight_us = to_us(today)
    there = encode_state(_state(today, is_silent=False))
    silent = encode_state(_state(today, is_silent=True))
    connection = await asyncpg.connect(url)
    try:
        for number in range(PARTITIONS):
            await connection.execute(
                "INSERT INTO positions VALUES ($1, $2, $3, 0, $4, $4)",
                *(READER, TOPIC_EVENTS, number, midnight_us - 1),
            )
            await connection.execute(
                "INSERT INTO adopted_products VALUES ($1, $2, $3)", number, PRODUCT, _product().key
            )
        for rows in _rows(size, there, silent, midnight_us):
            await connection.copy_records_to_table(
                "customers",
                records=rows,
                columns=["product", "customer_id", "partition", "due_us", "state"],
            )
        await connection.execute("ANALYZE customers")
    finally:
        await connection.close()
    return midnight_us


def _rows(
    size: Size, there: bytes, silent: bytes, due_us: int
) -> Iterator[list[tuple[str, str, int, int, bytes]]]:
    silent_count = _silent_count(size)
    for start in range(0, size.customers, ROWS_PER_COPY):
        rows = []
        for i in range(start, min(start + ROWS_PER_COPY, size.customers)):
            name = f"c-{i}"
            partition = murmur2_partition(record_key(PRODUCT, name), PARTITIONS)
            rows.append((PRODUCT, name, partition, due_us, silent if i < silent_count else there))
        yield rows


def _state(today: datetime, *, is_silent: bool) -> CustomerState:
    """Weeks of use up to the day before last, and yesterday too unless silent."""
    state: CustomerState | None = None
    for ago in range(HABIT_DAYS, 1 if is_silent else 0, -1):
        used_us = to_us(today - ago * DAY) + 12 * 3_600_000_000
        event = Event(
            product=PRODUCT, customer_id="c", event_id=str(ago), occurred_us=used_us, received_us=used_us
        )
        outcome = engine.fold(
            state, event, product=_product(), appended_us=used_us, watermark_us=used_us - 3_600_000_000
        )
        state = outcome.state
    assert state is not None
    return state


def _silent_count(size: Size) -> int:
    return round(size.customers * size.silent)


# What happens meanwhile


async def _post(log: KafkaLog, size: Size, seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        count = round(size.events_a_second * LOOK_SECONDS)
        await log.append(TOPIC_EVENTS, [_use(seen.posted + i) for i in range(count)])
        seen.posted += count
        await _wait(stop)


def _use(number: int) -> Message:
    now_us = SystemClock().now_us()
    event = Event(
        product=PRODUCT,
        customer_id=f"new-{number % NEW_CUSTOMERS}",
        event_id=f"e-{number}",
        occurred_us=now_us,
        received_us=now_us,
    )
    return Message(value=encode(event), key=record_key(PRODUCT, event.customer_id))


async def _watch_memory(seen: Seen, stop: asyncio.Event) -> None:
    process = psutil.Process()
    seen.memory_first = process.memory_info().rss
    while not stop.is_set():
        seen.memory_peak = max(seen.memory_peak, process.memory_info().rss)
        await _wait(stop)


async def _until_settled(url: str, deadline_us: int, stop: asyncio.Event) -> None:
    """Returns when nobody is due any more at the instant everybody was."""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM customers WHERE due_us <= $1)", deadline_us
        ):
            await _wait(stop)
    finally:
        await connection.close()


async def _outcome(url: str) -> tuple[int, int]:
    connection = await asyncpg.connect(url)
    try:
        stops = await connection.fetchval("SELECT count(*) FROM outbox WHERE topic = 'usage.triggers'")
        newcomers = await connection.fetchval("SELECT count(*) FROM customers WHERE customer_id LIKE 'new-%'")
    finally:
        await connection.close()
    return int(stops), int(newcomers)


async def _update(url: str, size: Size) -> float:
    """Seconds in which one statement moves the same rows a day on, and all of them are fetched."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE customers")
        begun = time.perf_counter()
        rows = await connection.fetch(
            "UPDATE customers SET due_us = due_us + $1, state = state "
            "WHERE product = $2 AND customer_id LIKE 'c-%' RETURNING customer_id, due_us, state",
            DAY // timedelta(microseconds=1),
            PRODUCT,
        )
        seconds = time.perf_counter() - begun
    finally:
        await connection.close()
    assert len(rows) == size.customers, f"{len(rows)} of {size.customers} rows"
    return seconds


async def _wait(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


if __name__ == "__main__":
    conclude(main())
