"""Memory and time of one evaluator while ten million events go by: the one flat, the other in proportion.

    python -m bench.memory [--events 10000000] [--customers 100000] [--parts 10]

On real Kafka and PostgreSQL. The events come in parts of a usage day each; after each part is folded the
resident memory of this process is printed, with how it stands to that after the second part, when every cache
has been filled once; and how long all folding so far has taken.
"""

import argparse
import asyncio
import gc
import time
from random import Random

import psutil

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
from bench.result import Curve, Figure, Result, Target, compare
from deploy.migrations.upgrade import bring_up
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import Evaluator
from shared.clock import SystemClock
from shared.database import open_postgres
from shared.events import TOPIC_EVENTS
from shared.log.kafka import KafkaLog
from tests.servers import KafkaServer, PostgresServer

Point = tuple[float, float]

MEBIBYTE = 1 << 20
APPENDED_AT_ONCE = 10_000
SEED = 20
FILLED = 2
FLAT = Target(at_most=1.1)


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=10)
    given = parser.parse_args()
    with own_servers() as (kafka, postgres):
        return asyncio.run(_run(kafka, postgres, given))


async def _run(kafka: KafkaServer, postgres: PostgresServer, given: argparse.Namespace) -> Result:
    url = await postgres.create_database()
    database = open_postgres(url)
    async with opened_log(kafka) as log:
        await bring_up(database)
        evaluator = Evaluator(
            log=log, store=EvaluatorStore(database), products=products(), clock=SystemClock()
        )
        while len(evaluator.partitions()) < PARTITIONS:
            await evaluator.step()
        resident, folded = await _measure(log, evaluator, given)
        await evaluator.close()
    await database.close()
    versions = await server_versions(postgres)
    await postgres.drop_database(url)
    return _result(resident, folded, given.customers, versions)


async def _measure(
    log: KafkaLog, evaluator: Evaluator, given: argparse.Namespace
) -> tuple[list[Point], list[Point]]:
    """After each part, by the events so far: the MiB resident, and the seconds of folding."""
    random = Random(SEED)
    now_us = SystemClock().now_us()
    each = given.events // given.parts
    resident: list[Point] = []
    folded: list[Point] = []
    seconds = 0.0
    for part in range(given.parts):
        occurred_us = now_us - (given.parts - 1 - part) * DAY_US
        until = records_read() + each
        numbers = range(part * each, (part + 1) * each)
        for begin in range(0, each, APPENDED_AT_ONCE):
            some = numbers[begin : begin + APPENDED_AT_ONCE]
            uses = [use(f"c-{random.randrange(given.customers)}", number, occurred_us) for number in some]
            await log.append(TOPIC_EVENTS, uses)
        begun = time.perf_counter()
        while records_read() < until:
            await evaluator.step()
        seconds += time.perf_counter() - begun
        folded.append(((part + 1) * each, seconds))
        gc.collect()
        resident.append(((part + 1) * each, psutil.Process().memory_info().rss / MEBIBYTE))
        print(f"{resident[-1][0]:>12,} events: {resident[-1][1]:,.0f} MiB, {seconds:.1f} s", flush=True)
    return resident, folded


def _result(resident: list[Point], folded: list[Point], customers: int, versions: dict[str, str]) -> Result:
    filled, last = (
        Figure(name=f"resident after {count:,} events", unit="MiB", values=(mebibytes,))
        for count, mebibytes in (resident[min(FILLED, len(resident)) - 1], resident[-1])
    )
    curves = (
        Curve(name="resident memory", across="events", unit="MiB", points=tuple(resident)),
        Curve(name="time of one evaluator", across="events", unit="s", points=tuple(folded)),
    )
    return result(
        "memory",
        __doc__,
        load=f"{customers:,} customers, {len(resident)} usage days, {PARTITIONS} partitions",
        figures=[filled, last],
        comparisons=[compare(last, filled, FLAT)],
        curves=curves,
        parts=PARTS,
        versions=versions,
    )


if __name__ == "__main__":
    conclude(main())
