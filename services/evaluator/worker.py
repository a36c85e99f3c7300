"""The evaluator: follows what the group assigns, fetches, and lets every partition of ours advance.

The group says which partitions are ours, the database where to read on; offsets are committed to the group
for dashboards and autoscaling alone. A partition in trouble never holds up the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from services.evaluator.core.rules import Product
from services.evaluator.owned import OwnedPartition, Surroundings
from services.evaluator.store import READER, EvaluatorStore
from shared import failpoints, metrics
from shared.clock import Clock
from shared.errors import LogUnavailable, OffsetOutOfRange, StoreUnavailable, TransientError
from shared.events import TOPIC_EVENTS
from shared.log import Consumer, Log, Record

GROUP = "usage-triggers.evaluator"
RECORDS_PER_FETCH_MAX = 40_000
"""What four partitions send at once: while the database writes one, the next is folded. More would keep the
others of this process waiting longer."""

CUSTOMERS_PER_SWEEP_MAX = 2_000
"""Customers judged and written at once, in one transaction."""

FETCH_WAIT_SECONDS = 0.5
RETRY_WAIT_SECONDS = 0.5
GROUP_COMMIT_EVERY_US = 5_000_000
STORE_AWAY_US = 10_000_000
"""Without a database for that long we leave the group: another evaluator may still have one."""

PARTITIONS_AT_ONCE_MAX = 4
"""Partitions that use the database at once; the pool's other connections are for relay and readers."""

logger = structlog.get_logger(__name__)


class Evaluator:
    """Reads `usage.events` as a member of the group; calls `on_outbox` when there is something to relay."""

    def __init__(
        self,
        *,
        log: Log,
        store: EvaluatorStore,
        products: Mapping[str, Product],
        clock: Clock,
        cached_customers_max: int = 200_000,
        records_per_fetch_max: int = RECORDS_PER_FETCH_MAX,
        customers_per_sweep_max: int = CUSTOMERS_PER_SWEEP_MAX,
        fetch_wait_seconds: float = FETCH_WAIT_SECONDS,
        on_outbox: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._store = store
        self._clock = clock
        self._surroundings = Surroundings(
            store=store, products=products, clock=clock, customers_per_sweep_max=customers_per_sweep_max
        )
        self._cached_customers_max = cached_customers_max
        self._records_per_fetch_max = records_per_fetch_max
        self._fetch_wait_seconds = fetch_wait_seconds
        self._on_outbox = on_outbox
        self._consumer: Consumer | None = None
        self._owned: dict[int, OwnedPartition] = {}
        self._at_once = asyncio.Semaphore(PARTITIONS_AT_ONCE_MAX)
        self._trouble: str | None = None
        self._store_seen_us = 0
        self._committed: dict[int, int] = {}
        self._committed_us = 0

    # What others may ask

    def partitions(self) -> frozenset[int]:
        """The partitions that the group has given us; what is in their outbox, we relay."""
        return frozenset(self._owned)

    def awaiting_ticks(self) -> dict[int, int | None]:
        """The partitions that may be told the time, each with the instant from which somebody is due.

        One that is being swept is left out: until everybody is judged at this time, time stands still.
        """
        return {
            number: owned.memory.next_due_us
            for number, owned in self._owned.items()
            if owned.memory is not None and not owned.memory.is_sweeping
        }

    def problems(self) -> tuple[str, ...]:
        """What somebody should look at, one line each; empty when all is well."""
        problems = (owned.problem() for owned in self._owned.values())
        return (*([self._trouble] if self._trouble else []), *(line for line in problems if line))

    async def check(self) -> None:
        """For readiness: raises while log or database keep us from working.

        A partition that is stopped, or a clock that is wrong, is an alarm and no reason to send nobody here.
        """
        if self._trouble is not None:
            raise TransientError(self._trouble, code="evaluator_waits")

    # The loop

    async def run(self, stop: asyncio.Event) -> None:
        """Steps until told to stop, then leaves the group."""
        try:
            while not stop.is_set():
                await self.step()
                if self._trouble is not None:
                    await _wait(stop, RETRY_WAIT_SECONDS)
        finally:
            await self.close()

    async def close(self) -> None:
        """Leaves the group; what is not written is read again by whoever comes next."""
        for number in list(self._owned):
            self._give_away(number)
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.close()

    async def step(self) -> bool:
        """One round over the partitions; True if anything was claimed, read or judged.

        Log or database being away is no error of the step's: `problems` tells it, the next one tries again.
        """
        try:
            consumer = await self._joined()
            self._follow_assignment(consumer)
            is_claimed = await self._claim()
            records = await self._fetch(consumer, is_busy=is_claimed)
            is_moved = await self._advance(records)
            self._note_trouble(next((o.trouble for o in self._owned.values() if o.trouble), None))
            await self._tell_group(consumer)
        except (LogUnavailable, StoreUnavailable) as error:
            self._note_trouble(error.message)
            return False
        await self._leave_without_store()
        return is_claimed or is_moved

    async def _joined(self) -> Consumer:
        if self._consumer is None:
            # Whoever has no database takes no partition from those who have one.
            await self._store.check()
            self._store_seen_us = self._clock.now_us()
            self._consumer = await self._log.consumer(TOPIC_EVENTS, GROUP)
        return self._consumer

    async def _leave_without_store(self) -> None:
        """The group hears from us whether or not we have a database, so it would never take anything away."""
        now_us = self._clock.now_us()
        if not any(owned.is_store_away for owned in self._owned.values()):
            self._store_seen_us = now_us
        elif now_us - self._store_seen_us >= STORE_AWAY_US and not await self._store_answers():
            logger.warning("the group is left, for the database does not answer")
            await self.close()

    async def _store_answers(self) -> bool:
        """A lock that somebody frozen holds is no reason to leave: whoever came next would wait as well."""
        try:
            await self._store.check()
        except StoreUnavailable:
            return False
        self._store_seen_us = self._clock.now_us()
        return True

    def _follow_assignment(self, consumer: Consumer) -> None:
        """What the group took away is forgotten, also what it took and gave back: our place in it is void
        then, and somebody else may have written in between."""
        assigned = consumer.assignment()
        for number in self._owned.keys() - assigned:
            self._give_away(number)
        for number in sorted(assigned - self._owned.keys()):
            self._owned[number] = OwnedPartition(number, consumer, self._surroundings)
        sought = consumer.sought()
        for number, owned in self._owned.items():
            if owned.memory is not None and not owned.held and number not in sought:
                owned.doubt()

    def _give_away(self, number: int) -> None:
        del self._owned[number]
        self._committed.pop(number, None)
        metrics.forget_partition(READER, number)

    async def _claim(self) -> bool:
        waiting = [o for o in self._owned.values() if o.memory is None and o.stopped is None]
        cached_max = self._cached_customers_max // max(1, len(self._owned))
        await self._each([owned.claim(cached_max) for owned in waiting])
        return any(owned.memory is not None for owned in waiting)

    async def _fetch(self, consumer: Consumer, *, is_busy: bool) -> Mapping[int, Sequence[Record]]:
        """Also with nothing to fetch, for it tells the group that we live; waits if nothing else is due."""
        is_busy = is_busy or any(owned.has_work() for owned in self._owned.values())
        try:
            return await consumer.fetch(
                records_max=self._records_per_fetch_max,
                timeout_seconds=0.0 if is_busy else self._fetch_wait_seconds,
            )
        except OffsetOutOfRange as error:
            if error.partition not in self._owned:
                raise
            self._owned[error.partition].stop(error)
            return {}

    async def _advance(self, records: Mapping[int, Sequence[Record]]) -> bool:
        moving = [
            owned.advance(records.get(number, ()))
            for number, owned in self._owned.items()
            if owned.memory is not None and (number in records or owned.has_work())
        ]
        await self._each(moving)
        if any(owned.has_outbox for owned in self._owned.values()):
            for owned in self._owned.values():
                owned.has_outbox = False
            self._on_outbox()
        return bool(moving)

    async def _each(self, steps: Sequence[Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(self._in_turn(step))

    async def _in_turn(self, step: Awaitable[None]) -> None:
        async with self._at_once:
            await step

    async def _tell_group(self, consumer: Consumer) -> None:
        now_us = self._clock.now_us()
        if now_us - self._committed_us < GROUP_COMMIT_EVERY_US:
            return
        self._committed_us = now_us
        stored = {n: o.memory.stored_offset for n, o in self._owned.items() if o.memory is not None}
        news = {number: offset for number, offset in stored.items() if self._committed.get(number) != offset}
        if news:
            await consumer.commit(news)
            self._committed.update(news)
        failpoints.hit("evaluator.group.committed")
        await self._publish_lag(consumer, now_us)

    async def _publish_lag(self, consumer: Consumer, now_us: int) -> None:
        metrics.PARTITIONS_STOPPED.set(sum(owned.stopped is not None for owned in self._owned.values()))
        for number, owned in self._owned.items():
            if owned.memory is not None:
                lag = await consumer.end(number) - owned.memory.next_offset
                delay_us = now_us - owned.memory.watermark_us
                metrics.LAG_RECORDS.labels(READER, number).set(max(0, lag))
                metrics.WATERMARK_DELAY_SECONDS.labels(number).set(delay_us / 1_000_000)
                metrics.CLOCK_SKEW_SECONDS.labels(number).set(owned.memory.skew_us / 1_000_000)

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            logger.warning("the evaluator waits", reason=trouble)
        self._trouble = trouble


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
