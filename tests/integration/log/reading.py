"""Reads a topic to its end, and waits for what a test cannot be told of, with a bound."""

import asyncio
import contextlib
from collections.abc import Callable

from shared.log import Consumer, Record
from shared.log.kafka_consumer import KafkaConsumer

FETCHES_MAX = 300


async def settled(consumer: Consumer, partition_count: int) -> None:
    """Fetch, as a worker does, until `consumer` owns so many partitions."""
    for _ in range(FETCHES_MAX):
        if len(consumer.assignment()) == partition_count:
            return
        await consumer.fetch(records_max=1, timeout_seconds=0.1)
    raise AssertionError(f"owns {sorted(consumer.assignment())}, wanted {partition_count}")


async def read(consumer: Consumer, count: int) -> list[Record]:
    """The next `count` records of whatever is sought."""
    found: list[Record] = []
    for _ in range(FETCHES_MAX):
        if len(found) >= count:
            return found
        for records in (await consumer.fetch(records_max=500, timeout_seconds=0.2)).values():
            found += records
    raise AssertionError(f"{count} records wanted, found {len(found)}")


async def read_all(consumer: KafkaConsumer) -> list[Record]:
    """Every record of the partitions that it owns, from the first one kept to the end as it is now."""
    count = 0
    for partition in sorted(consumer.assignment()):
        first = await consumer.beginning(partition)
        consumer.seek(partition, first)
        count += await consumer.end(partition) - first
    return await read(consumer, count)


async def until(holds: Callable[[], bool], *, seconds: float = 40) -> None:
    """Look every 50 ms whether `holds`; TimeoutError when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not holds():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.Event().wait()
