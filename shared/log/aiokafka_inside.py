"""The one place that touches aiokafka's private parts: ends clients for good, and asks whether they live.

aiokafka's own `stop` waits for batches that an idempotent producer never gives up and for a
coordinator that may be gone; and a client whose background task has died goes on as if nothing had
happened (decision record 0011). A test fails when an upgrade moves what is used here.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

STOP_SECONDS = 5.0
ABANDON_SECONDS = 2.0

_Task = asyncio.Task[object]


async def abandon_producer(producer: AIOKafkaProducer) -> None:
    """Leave it at once: what it was sending may or may not arrive."""
    producer._closed = True  # what `stop` sets; without it the garbage collector complains
    sender = producer._sender.sender_task
    await _abandon(producer.client, [sender] if sender else [])


async def stop_consumer(consumer: AIOKafkaConsumer, *, seconds: float = STOP_SECONDS) -> None:
    """Stop it in order, so that its group shares its partitions at once, or abandon it if that hangs."""
    try:
        async with asyncio.timeout(seconds):
            await consumer.stop()
    except (TimeoutError, KafkaError, OSError):
        await abandon_consumer(consumer)


async def abandon_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave it at once; its group notices when the session ends."""
    consumer._closed = True
    tasks = [
        getattr(consumer._coordinator, name, None)
        for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    ]
    if consumer._fetcher is not None:
        await _bounded(consumer._fetcher.close())
    await _abandon(consumer._client, [task for task in tasks if task is not None])


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a task that it cannot do without has ended."""
    tasks = (
        consumer._client._sync_task,
        consumer._fetcher and consumer._fetcher._fetch_task,
        getattr(consumer._coordinator, "_coordination_task", None),
    )
    return any(task is not None and task.done() for task in tasks)


def raise_group_errors(consumer: AIOKafkaConsumer) -> None:
    """Raise what its coordinator has to say (KafkaError), and tell it that its owner is alive.

    `getmany` does both too, but waits for the end of a rebalance however long that takes.
    """
    consumer._coordinator.check_errors()
    with consumer._subscription.fetch_context():
        return


async def _abandon(client: object, tasks: Iterable[_Task]) -> None:
    for task in tasks:
        task.cancel()
    # Closing the connections makes the requests that those tasks wait for fail at once.
    await _bounded(client.close())  # type: ignore[attr-defined]
    # Nobody updates the metadata any more: whoever waits for that would wait for ever.
    waiting = client._md_update_fut  # type: ignore[attr-defined]
    if waiting is not None and not waiting.done():
        waiting.set_result(False)
    await _end(tasks)


async def _end(tasks: Iterable[_Task]) -> None:
    pending = [task for task in tasks if not task.done()]
    if pending:
        await asyncio.wait(pending, timeout=ABANDON_SECONDS)
    for task in tasks:
        task.cancel()
        if task.done() and not task.cancelled():
            task.exception()  # read, so that nobody complains that it was not


async def _bounded(closing: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(ABANDON_SECONDS):
            await closing
    except (TimeoutError, KafkaError, OSError):
        return  # it is on its way out, and nothing depends on how
