"""Memory of one evaluator while ten million events go by on real Kafka and PostgreSQL: it should stay flat.

    python -m bench.memory [--events 10000000] [--customers 100000] [--parts 10]

The events come in parts of a usage day each; after each part is folded the resident memory of this process is
printed, with how it stands to that after the second part, when every cache has been filled once.
"""

import argparse
import asyncio
import gc
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
        points = await _measure(log, evaluator, given)
        await evaluator.close()
    await database.close()
    versions = await server_versions(postgres)
    await postgres.drop_database(url)
    return _result(points, given.customers, versions)


async def _measure(
    log: KafkaLog, evaluator: Evaluator, given: argparse.Namespace
) -> list[tuple[float, float]]:
    """After each part, the events so far and the MiB resident."""
    random = Random(SEED)
    now_us = SystemClock().now_us()
    each = given.events // given.parts
    points: list[tuple[float, float]] = []
    for part in range(given.parts):
        occurred_us = now_us - (given.parts - 1 - part) * DAY_US
        until = records_read() + each
        numbers = range(part * each, (part + 1) * each)
        for begin in range(0, each, APPENDED_AT_ONCE):
            some = numbers[begin : begin + APPENDED_AT_ONCE]
            uses = [use(f"c-{random.randrange(given.customers)}", number, occurred_us) for number in some]
            await log.append(TOPIC_EVENTS, uses)
        while records_read() < until:
            await evaluator.step()
        gc.collect()
        points.append(((part + 1) * each, psutil.Process().memory_info().rss / MEBIBYTE))
        print(f"{points[-1][0]:>12,} events: {points[-1][1]:,.0f} MiB", flush=True)
    return points


def _result(points: list[tuple[float, float]], customers: int, versions: dict[str, str]) -> Result:
    filled, last = (
        Figure(name=f"resident after {count:,} events", unit="MiB", values=(resident,))
        for count, resident in (points[min(FILLED, len(points)) - 1], points[-1])
    )
    grown = Curve(name="resident memory", across="events", unit="MiB", points=tuple(points))
    return result(
        "memory",
        __doc__,
        load=f"{customers:,} customers, {len(points)} usage days, {PARTITIONS} partitions",
        figures=[filled, last],
        comparisons=[compare(last, filled, FLAT)],
        curves=[grown],
        parts=PARTS,
        versions=versions,
    )


if __name__ == "__main__":
    conclude(main())
