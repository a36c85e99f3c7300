"""Events a second of the evaluator on real Kafka and PostgreSQL, against a bare client that only decodes.

    python -m bench.evaluator [--events 200000] [--a-day 20] [--rounds 5]

Both read the same topic from its beginning, in turns, in one process: the bare one is aiokafka's `getmany`
and msgspec's decoding of every record; the evaluator also folds, and writes to a database that is empty each
time. `--a-day` is how many events a customer has on a day: only the first of them changes anything.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
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
from bench.result import Result, Target, compare, rate
from deploy.migrations.upgrade import bring_up
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import RECORDS_PER_FETCH_MAX, Evaluator
from shared.clock import SystemClock
from shared.database import open_postgres
from shared.events import TOPIC_EVENTS, decode
from shared.log import Message
from shared.log.kafka import KafkaLog
from tests.servers import KafkaServer, PostgresServer

SEED = 20
APPENDED_AT_ONCE = 5_000
DAYS = 5
TARGET = Target(
    at_least=0.6,
    why_missed="folding an event costs more than decoding it, and each batch is written to PostgreSQL",
)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of how many customers; the last ones of `DAYS` days, as a busy week has them."""

    events: int
    customers: int


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--a-day", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    load = Load(events=given.events, customers=given.events // DAYS // given.a_day)
    with own_servers() as (kafka, postgres):
        return asyncio.run(_measure(kafka, postgres, load, given.rounds))


async def _measure(kafka: KafkaServer, postgres: PostgresServer, load: Load, rounds: int) -> Result:
    async with opened_log(kafka) as log:
        await _fill(log, load)
        ends = await _ends(kafka)
        count = sum(ends.values())
        bare: list[float] = []
        ours: list[float] = []
        for number in range(rounds):
            bare.append(await _bare(kafka, ends))
            ours.append(await _evaluator(log, postgres, ends))
            print(f"round {number + 1}: bare {bare[-1]:.2f} s, evaluator {ours[-1]:.2f} s", flush=True)
    evaluator, client = rate("evaluator", "events", count, ours), rate("bare client", "events", count, bare)
    return result(
        "evaluator",
        __doc__,
        load=f"{load.events:,} events of {load.customers:,} customers over {DAYS} days, "
        f"{PARTITIONS} partitions, {rounds} rounds",
        figures=[evaluator, client],
        comparisons=[compare(evaluator, client, TARGET)],
        parts=PARTS,
        versions=await server_versions(postgres),
    )


async def _fill(log: KafkaLog, load: Load) -> None:
    """Day by day, everybody in any order: most events find their customer active already."""
    random = Random(SEED)
    now_us = SystemClock().now_us()
    waiting: list[Message] = []
    for i in range(load.events):
        ago = DAYS - 1 - i * DAYS // load.events
        waiting.append(use(f"c-{random.randrange(load.customers)}", i, now_us - ago * DAY_US))
        if len(waiting) == APPENDED_AT_ONCE:
            await log.append(TOPIC_EVENTS, waiting)
            waiting = []
    await log.append(TOPIC_EVENTS, waiting)


def _places() -> list[TopicPartition]:
    return [TopicPartition(TOPIC_EVENTS, number) for number in range(PARTITIONS)]


async def _ends(kafka: KafkaServer) -> dict[int, int]:
    async with _client(kafka) as consumer:
        return {place.partition: end for place, end in (await consumer.end_offsets(_places())).items()}


async def _bare(kafka: KafkaServer, ends: dict[int, int]) -> float:
    """Seconds from the first question to the last record decoded."""
    async with _client(kafka) as consumer:
        consumer.assign(_places())
        for place in _places():
            consumer.seek(place, 0)
        left = sum(ends.values())
        begun = time.perf_counter()
        while left > 0:
            found = await consumer.getmany(timeout_ms=500, max_records=RECORDS_PER_FETCH_MAX)
            for records in found.values():
                for record in records:
                    decode(record.value)
                left -= len(records)
        return time.perf_counter() - begun


@asynccontextmanager
async def _client(kafka: KafkaServer) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _evaluator(log: KafkaLog, postgres: PostgresServer, ends: dict[int, int]) -> float:
    """Seconds from the moment it has all partitions to the last record folded."""
    url = await postgres.create_database()
    database = open_postgres(url)
    try:
        await bring_up(database)
        evaluator = Evaluator(
            log=log, store=EvaluatorStore(database), products=products(), clock=SystemClock()
        )
        until = records_read() + sum(ends.values())
        while len(evaluator.partitions()) < PARTITIONS:
            await evaluator.step()
        begun = time.perf_counter()
        while records_read() < until:
            await evaluator.step()
        seconds = time.perf_counter() - begun
        await evaluator.close()
        return seconds
    finally:
        await database.close()
        await postgres.drop_database(url)


if __name__ == "__main__":
    conclude(main())
