"""Events a second of the evaluator on real Kafka and PostgreSQL, against a bare client that only decodes.

    python -m bench.evaluator [--events 200000] [--days 5] [--a-day 20] [--rounds 5] [--new 100000]

Both read the same topic from its beginning, in turns, in one process: the bare one is aiokafka's `getmany`
and msgspec's decoding of every record; the evaluator also folds, and writes to a database that is empty each
time. `--a-day` is how many events a customer has on a day: only the first of them changes anything. Then as
many events again come in each round, of customers that have been active today already. Last, in a log of
its own, one day of `--new` customers of whom nobody was seen before, ten events each.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from random import Random

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.on_kafka import (
    DAY_US,
    PARTITIONS,
    PARTS,
    opened_log,
    own_servers,
    products,
    records_read,
    server_versions,
    use,
)
from bench.record import conclude, result
from bench.result import Figure, Result, Target, compare, rate
from deploy.migrations.upgrade import bring_up
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import RECORDS_PER_FETCH_MAX, Evaluator
from shared.clock import SystemClock
from shared.database import open_postgres
from shared.events import TOPIC_EVENTS, decode
from shared.log import Message
from shared.log.kafka import KafkaLog
from shared.log.kafka_consumer import PARTITION_BYTES_PER_FETCH_MAX
from tests.servers import KafkaServer, PostgresServer

SEED = 20
APPENDED_AT_ONCE = 5_000
EVENTS_OF_NEW = 10
"""Events of each customer on its first day."""

TARGET = Target(
    at_least=0.6,
    why_missed="folding an event costs more than decoding it, and each batch is written to PostgreSQL",
)
REPEATED_TARGET = Target(
    at_least=0.85,
    why_missed="each record is read, decoded and looked up, of which the bare client does the first two",
)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of how many customers, over the `days` up to `now_us`, as a busy week has them."""

    events: int
    customers: int
    days: int
    now_us: int


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--a-day", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=100_000)
    given = parser.parse_args()
    now_us = SystemClock().now_us()
    load = Load(
        events=given.events,
        customers=given.events // given.days // given.a_day,
        days=given.days,
        now_us=now_us,
    )
    new = Load(events=given.new * EVENTS_OF_NEW, customers=given.new, days=1, now_us=now_us)
    with own_servers() as servers:
        known = asyncio.run(_known(*servers, load, given.rounds))
    with own_servers() as servers:
        return asyncio.run(_with_new(*servers, known, new, given.rounds))


async def _known(kafka: KafkaServer, postgres: PostgresServer, load: Load, rounds: int) -> Result:
    """Some days of the same customers."""
    async with opened_log(kafka) as log:
        await _append(log, load, load.days)
        figures = await _all_days(kafka, postgres, log, load, rounds)
        again = await _again(kafka, postgres, log, load, rounds)
    return result(
        "evaluator",
        __doc__,
        load=f"{load.events:,} events of {load.customers:,} customers over {load.days} days, "
        f"{PARTITIONS} partitions, {rounds} rounds",
        figures=[*figures, *again],
        comparisons=[compare(*figures, TARGET), compare(*again, REPEATED_TARGET)],
        parts=PARTS,
        versions=await server_versions(postgres),
    )


async def _with_new(
    kafka: KafkaServer, postgres: PostgresServer, known: Result, load: Load, rounds: int
) -> Result:
    """What was measured, and one day of customers of whom nobody was seen before."""
    async with opened_log(kafka) as log:
        await _append(log, load, load.days)
        figures = await _all_days(kafka, postgres, log, load, rounds, ", customers all new")
    return msgspec.structs.replace(
        known,
        load=f"{known.load}; {load.events:,} events of {load.customers:,} customers all new",
        figures=(*known.figures, *figures),
        comparisons=(*known.comparisons, compare(*figures, TARGET)),
    )


async def _all_days(
    kafka: KafkaServer, postgres: PostgresServer, log: KafkaLog, load: Load, rounds: int, which: str = ""
) -> tuple[Figure, Figure]:
    """The evaluator's events a second and the bare client's, each from the beginning of the topic."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        async with _client(kafka) as client:
            bare.append(await _seconds(client.read(load.events)))
        async with _evaluator(log, postgres) as evaluator:
            ours.append(await _seconds(evaluator.read(load.events)))
        print(f"round {number + 1}{which}: bare {bare[-1]:.2f} s, evaluator {ours[-1]:.2f} s", flush=True)
    return (
        rate(f"evaluator{which}", "events", load.events, ours),
        rate(f"bare client{which}", "events", load.events, bare),
    )


async def _again(
    kafka: KafkaServer, postgres: PostgresServer, log: KafkaLog, load: Load, rounds: int
) -> tuple[Figure, Figure]:
    """The same of events that find their customer active already, read by those who have read all before."""
    ours: list[float] = []
    bare: list[float] = []
    async with _client(kafka) as client, _evaluator(log, postgres) as evaluator:
        await client.read(load.events)
        await evaluator.read(load.events)
        for number in range(rounds):
            await _append(log, load, 1)
            bare.append(await _seconds(client.read(load.events)))
            ours.append(await _seconds(evaluator.read(load.events)))
            print(f"again {number + 1}: bare {bare[-1]:.2f} s, evaluator {ours[-1]:.2f} s", flush=True)
    return (
        rate("evaluator, active today already", "events", load.events, ours),
        rate("bare client, the same events", "events", load.events, bare),
    )


async def _append(log: KafkaLog, load: Load, days: int) -> None:
    """Day by day, everybody in any order: most events find their customer active already."""
    random = Random(SEED)
    waiting: list[Message] = []
    for i in range(load.events):
        ago = days - 1 - i * days // load.events
        waiting.append(use(f"c-{random.randrange(load.customers)}", i, load.now_us - ago * DAY_US))
        if len(waiting) == APPENDED_AT_ONCE:
            await log.append(TOPIC_EVENTS, waiting)
            waiting = []
    await log.append(TOPIC_EVENTS, waiting)


async def _seconds(reading: Awaitable[None]) -> float:
    begun = time.perf_counter()
    await reading
    return time.perf_counter() - begun


class _Client:
    """aiokafka's `getmany`, and msgspec's decoding of every record."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def read(self, count: int) -> None:
        while count > 0:
            found = await self._consumer.getmany(timeout_ms=500, max_records=RECORDS_PER_FETCH_MAX)
            for records in found.values():
                for record in records:
                    decode(record.value)
                count -= len(records)


@asynccontextmanager
async def _client(kafka: KafkaServer) -> AsyncIterator[_Client]:
    """A bare client before the first record."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        enable_auto_commit=False,
        max_partition_fetch_bytes=PARTITION_BYTES_PER_FETCH_MAX,
    )
    await consumer.start()
    try:
        places = [TopicPartition(TOPIC_EVENTS, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        yield _Client(consumer)
    finally:
        await consumer.stop()


class _Reading:
    """The evaluator, as far as it is asked to read."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    async def read(self, count: int) -> None:
        until = records_read() + count
        while records_read() < until:
            await self._evaluator.step()


@asynccontextmanager
async def _evaluator(log: KafkaLog, postgres: PostgresServer) -> AsyncIterator[_Reading]:
    """An evaluator with an empty database, once it has all partitions."""
    url = await postgres.create_database()
    database = open_postgres(url)
    try:
        await bring_up(database)
        evaluator = Evaluator(
            log=log, store=EvaluatorStore(database), products=products(), clock=SystemClock()
        )
        while len(evaluator.partitions()) < PARTITIONS:
            await evaluator.step()
        yield _Reading(evaluator)
        await evaluator.close()
    finally:
        await database.close()
        await postgres.drop_database(url)


if __name__ == "__main__":
    conclude(main())
