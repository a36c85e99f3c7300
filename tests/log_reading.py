"""Reads a topic to its end, and waits for what a test cannot be told of, with a bound."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from shared.errors import OffsetOutOfRange
from shared.log import Consumer, Record
from shared.log.kafka_consumer import KafkaConsumer

FETCHES_MAX = 300


async def settle(owning: Mapping[Consumer, int]) -> None:
    """Let each member fetch, as a worker would, until it owns as many partitions as it should."""
    for _ in range(FETCHES_MAX):
        if all(len(consumer.assignment()) == count for consumer, count in owning.items()):
            return
        for consumer in owning:
            await consumer.fetch(records_max=1, timeout_seconds=0.1)
    raise AssertionError({c: sorted(c.assignment()) for c in owning})


async def settled(consumer: Consumer, partition_count: int) -> None:
    """As `settle`, for one."""
    await settle({consumer: partition_count})


async def read_by_partition(
    consumer: Consumer, count: int, *, records_max: int = 100
) -> dict[int, list[Record]]:
    """The next `count` records, by partition."""
    found: dict[int, list[Record]] = {}
    for _ in range(FETCHES_MAX):
        if sum(map(len, found.values())) >= count:
            return found
        for partition, records in (
            await consumer.fetch(records_max=records_max, timeout_seconds=0.2)
        ).items():
            found.setdefault(partition, []).extend(records)
    raise AssertionError(f"{count} records wanted, found {found}")


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


async def refusal(consumer: Consumer, found: dict[int, Sequence[Record]]) -> OffsetOutOfRange:
    """What a fetch refuses with; what others found until then is added to `found`."""
    for _ in range(FETCHES_MAX):
        try:
            found |= await consumer.fetch(records_max=10, timeout_seconds=0.2)
        except OffsetOutOfRange as error:
            return error
    raise AssertionError("no fetch refused the offset")


async def until(holds: Callable[[], bool], *, seconds: float = 40) -> None:
    """Look every 50 ms whether `holds`; TimeoutError when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not holds():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.Event().wait()
