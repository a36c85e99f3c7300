"""How the evaluator's time grows with customers, events, partitions and processes; on Kafka and PostgreSQL.

    python -m bench.growth [--events 800000] [--largest 1000000]

One topic of ten thousand customers' events is read by one evaluator whose store holds ever more customers,
who are silent; then in topics of ever more partitions, and by ever more evaluators, each a process.
"""

import argparse
import asyncio
from random import Random

import msgspec

from bench.growth.measuring import TOPIC_DAYS, filled, members_waiting, one_evaluator, several_evaluators
from bench.on_kafka import DAY_US, PARTS, opened_log, own_servers, server_versions, use
from bench.record import conclude, result
from bench.result import Curve, Figure, Result
from shared.clock import SystemClock
from shared.events import TOPIC_EVENTS
from shared.log import Log

PARTITIONS = 4
CUSTOMERS = 10_000
PART = 4
"""Where the size is not that of the topic, a quarter of the topic is read."""

APPENDED_AT_ONCE = 10_000
PARTITION_COUNTS = (1, 24)
MEMBER_COUNTS = (1, 2, 3)
SHARED_PARTITIONS = 12
SEED = 20

Point = tuple[float, float]


class Found(msgspec.Struct, kw_only=True):
    """The points of each curve, as they come in."""

    by_events: list[Point] = []
    by_customers: list[Point] = []
    by_partitions: list[Point] = []
    by_members: list[Point] = []
    work_by_members: list[Point] = []
    bytes_each: float = 0.0
    versions: dict[str, str] = {}


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=800_000)
    parser.add_argument("--largest", type=int, default=1_000_000, help="customers in the store at last")
    given = parser.parse_args()
    found = Found()
    asyncio.run(_one_topic(given.events, given.largest, found))
    for count in PARTITION_COUNTS:
        asyncio.run(_partitions(count, given.events // PART, found))
    for count in MEMBER_COUNTS:
        asyncio.run(_members(count, given.events // PART, found))
    return _result(given, found)


async def _one_topic(events: int, largest: int, found: Found) -> None:
    """By events in one run, and by customers in the store."""
    with own_servers() as (kafka, postgres):
        found.versions = await server_versions(postgres)
        async with opened_log(kafka, PARTITIONS) as log:
            await _fill(log, events)
            url, _ = await filled(postgres, 0, PARTITIONS)
            counts = [events // 8, events // PART, events // 2, events]
            reached = await one_evaluator(log, url, PARTITIONS, counts)
            found.by_events = list(zip(counts, reached, strict=True))
            found.by_partitions.append((PARTITIONS, counts[1] / reached[1]))
            for customers in (largest // 100, largest // 10, largest):
                url, found.bytes_each = await filled(postgres, customers, PARTITIONS)
                [seconds] = await one_evaluator(log, url, PARTITIONS, [events // PART])
                found.by_customers.append((customers, events // PART / seconds))
                await postgres.drop_database(url)
                print(
                    f"{customers:,} in the store: {events // PART / seconds:,.0f} events a second", flush=True
                )


async def _partitions(count: int, events: int, found: Found) -> None:
    with own_servers() as (kafka, postgres):
        async with opened_log(kafka, count) as log:
            await _fill(log, events)
            url, _ = await filled(postgres, 0, count)
            [seconds] = await one_evaluator(log, url, count, [events])
    found.by_partitions.append((count, events / seconds))
    print(f"{count} partitions: {events / seconds:,.0f} events a second", flush=True)


async def _members(count: int, events: int, found: Found) -> None:
    """They join the group over an empty topic, so that nobody is ahead when the word is given."""
    with own_servers() as (kafka, postgres):
        async with opened_log(kafka, SHARED_PARTITIONS) as log:
            url, _ = await filled(postgres, 0, SHARED_PARTITIONS)
            with members_waiting(kafka, url, SHARED_PARTITIONS, count) as members:
                await _fill(log, events)
                seconds, worked = several_evaluators(members)
    found.by_members.append((count, events / seconds))
    found.work_by_members.append((count, 1e6 * worked / events))
    if count == 1:
        found.by_partitions.append((SHARED_PARTITIONS, events / seconds))
    print(f"{count} evaluators: {events / seconds:,.0f} events a second", flush=True)


async def _fill(log: Log, events: int) -> None:
    """Use day by day, everybody in any order."""
    random, now_us = Random(SEED), SystemClock().now_us()
    for begin in range(0, events, APPENDED_AT_ONCE):
        numbers = range(begin, min(events, begin + APPENDED_AT_ONCE))
        uses = [
            use(
                f"c-{random.randrange(CUSTOMERS)}",
                i,
                now_us - (TOPIC_DAYS - 1 - i * TOPIC_DAYS // events) * DAY_US,
            )
            for i in numbers
        ]
        await log.append(TOPIC_EVENTS, uses)


def _result(given: argparse.Namespace, found: Found) -> Result:
    part = given.events // PART
    return result(
        "growth",
        __doc__,
        load=f"{given.events:,} events of {CUSTOMERS:,} customers over {TOPIC_DAYS} days, "
        f"{PARTITIONS} partitions; {part:,} of them where something else grows, and {SHARED_PARTITIONS} "
        "partitions where evaluators do",
        figures=[
            Figure(name="PostgreSQL, each customer of forty days", unit="bytes", values=(found.bytes_each,))
        ],
        curves=[
            _curve("time of one evaluator", "events", "s", found.by_events),
            _curve("speed of one evaluator", "customers in the store", "events/s", found.by_customers),
            _curve("speed of one evaluator", "partitions", "events/s", found.by_partitions),
            _curve("speed of all evaluators", "evaluators", "events/s", found.by_members),
            _curve("processor time of all evaluators", "evaluators", "µs an event", found.work_by_members),
        ],
        parts=PARTS,
        versions=found.versions,
    )


def _curve(name: str, across: str, unit: str, points: list[Point]) -> Curve:
    return Curve(name=name, across=across, unit=unit, points=tuple(sorted(points)))


if __name__ == "__main__":
    conclude(main())
