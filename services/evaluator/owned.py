"""A partition while the group lets us have it, one step at a time.

    claim     it is positioned from the database; nothing else says where to read on
    gather    the customers of records are loaded
    decide    they are folded in memory (`folding`), or a part of a sweep is
    apply     one transaction, fenced by the partition's offset

Whatever goes wrong (fenced, the database gone, the answer to COMMIT lost) has one answer: forget all about
the partition and claim it anew. What was applied then lies behind the position, what was not before it.
"""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from services.evaluator.core import watermark
from services.evaluator.core.rules import Product
from services.evaluator.folding import Decided, fold_records, recalled, sweep
from services.evaluator.partition import Partition, remember, strangers
from services.evaluator.store import READER, EvaluatorStore
from services.evaluator.tracks import Tracks
from shared import failpoints, metrics
from shared.clock import Clock
from shared.errors import PermanentError, StoreUnavailable, TransientError
from shared.events import TOPIC_EVENTS
from shared.log import Consumer, Record

PARTS_OF_A_SWEEP_AT_ONCE = 3
"""Parts of a sweep between two looks at the log. While the database writes one, other partitions judge
theirs; with one alone, each waited for the last of all."""

POSITION_EVERY_US = 1_000_000
"""Records that changed nothing move the stored offset this often; a crash reads them again, to no effect."""

logger = structlog.get_logger(__name__)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every partition of an evaluator works with."""

    store: EvaluatorStore
    products: Mapping[str, Product]
    clock: Clock
    customers_per_sweep_max: int


class OwnedPartition:
    """`memory` is None until it is claimed, and again whenever it is in doubt.

    `held` are records that a sweep keeps waiting; meanwhile no more are fetched. `stopped` says why nothing
    is read any more until somebody has looked; `trouble` why the last step had to be given up, and
    `is_store_away` whether that was the database's doing.
    """

    def __init__(self, number: int, consumer: Consumer, surroundings: Surroundings) -> None:
        self.number = number
        self.memory: Partition | None = None
        self.held: Sequence[Record] = ()
        self.stopped: str | None = None
        self.trouble: str | None = None
        self.is_store_away = False
        self.has_outbox = False
        self._consumer = consumer
        self._store = surroundings.store
        self._products = surroundings.products
        self._clock = surroundings.clock
        self._customers_per_sweep_max = surroundings.customers_per_sweep_max
        self._tracks = Tracks(number)
        self._written_us = 0
        self._gap_at: int | None = None

    def has_work(self) -> bool:
        """Whether there is something to do that waits for no record."""
        memory = self.memory
        return memory is not None and bool(self.held or memory.is_sweeping or self._is_overdue(memory))

    def problem(self) -> str | None:
        """One line on what is wrong; None when all is well, or only not claimed yet."""
        if self.stopped is not None:
            return f"{TOPIC_EVENTS}/{self.number} is stopped: {self.stopped}"
        if self.memory is not None and watermark.is_suspicious(self.memory.skew_us):
            seconds = self.memory.skew_us / 1_000_000
            return f"{TOPIC_EVENTS}/{self.number}: our clock is {seconds:+.0f} s from the log's"
        return None

    def doubt(self) -> None:
        """Forget everything, and fetch nothing until it is claimed anew."""
        self.memory = None
        self.held = ()
        self._consumer.forget(self.number)

    def stop(self, error: PermanentError) -> None:
        """Read nothing more until somebody has looked and restarted us; other partitions go on."""
        self.doubt()
        self.stopped = error.message
        logger.error("partition stopped", partition=self.number, reason=error.message)

    # The steps

    async def claim(self, cached_max: int) -> None:
        """Position it from the database and read on from there."""
        await self._guarded(self._claim(cached_max))

    async def advance(self, records: Sequence[Record]) -> None:
        """Fold what was held, or else `records`, as far as a sweep lets them; then judge some of the due."""
        await self._guarded(self._advance(records))

    async def _guarded(self, step: Coroutine[Any, Any, None]) -> None:
        known, self.trouble = self.trouble, None
        self.is_store_away = False
        try:
            await step
        except TransientError as error:
            self.is_store_away = isinstance(error, StoreUnavailable)
            self.trouble = error.message
            if self.trouble != known:
                logger.warning("the partition waits", partition=self.number, reason=self.trouble)
            self.doubt()
        except PermanentError as error:
            self.stop(error)

    async def _claim(self, cached_max: int) -> None:
        beginning = await self._consumer.beginning(self.number)
        position = await self._store.claim(self.number, beginning=beginning, now_us=self._clock.now_us())
        memory = Partition(
            position,
            products=self._products,
            excused=await self._store.excused(self.number),
            next_due_us=await self._store.next_due_us(self.number, tuple(self._products)),
            cached_max=cached_max,
        )
        await self._adopt_rules(memory)
        self._written_us = self._clock.now_us()
        self.memory = memory
        self._consumer.seek(self.number, memory.next_offset)

    async def _adopt_rules(self, memory: Partition) -> None:
        """Where rules have changed everybody is looked at once: the instant for which a customer waits was
        reckoned by the old ones."""
        adopted = await self._store.adopted(self.number)
        changed = [product for product in self._products.values() if adopted.get(product.id) != product.key]
        if changed:
            await self._store.write(recalled(memory, changed), now_us=self._clock.now_us())

    async def _advance(self, fetched: Sequence[Record]) -> None:
        memory = self.memory
        assert memory is not None
        records = self.held or self._in_place(memory, fetched)
        await self._fold(memory, records)
        for _ in range(PARTS_OF_A_SWEEP_AT_ONCE):
            if memory.is_sweeping:
                await self._sweep(memory)
        memory.cache.age()

    async def _fold(self, memory: Partition, records: Sequence[Record]) -> None:
        with self._tracks.reading():
            missing = strangers(records, memory)
            if missing:
                remember(memory, missing, await self._store.load(missing))
            decided = fold_records(memory, records)
            failpoints.hit("evaluator.batch.decided")
            self._tracks.consumed(records[: decided.consumed_count])
            if decided.batch.changes_something or self._is_overdue(memory):
                await self._write(memory, decided)
        metrics.RECORDS_READ.labels(READER).inc(decided.consumed_count)
        self._hold(memory, records[decided.consumed_count :])

    async def _sweep(self, memory: Partition) -> None:
        rows = await self._store.due(
            self.number,
            tuple(self._products),
            before_us=memory.watermark_us,
            rows_max=self._customers_per_sweep_max,
        )
        if rows:
            decided = sweep(memory, rows)
            failpoints.hit("evaluator.sweep.decided")
            await self._write(memory, decided)
            failpoints.hit("evaluator.sweep.committed")
        if len(rows) < self._customers_per_sweep_max:
            memory.swept(await self._store.next_due_us(self.number, tuple(self._products)))

    async def _write(self, memory: Partition, decided: Decided) -> None:
        now_us = self._clock.now_us()
        with self._tracks.deciding(decided.batch) as batch:
            await self._store.write(batch, now_us=now_us)
        memory.stored_offset = decided.batch.position.next_offset
        self._written_us = now_us
        self.has_outbox = self.has_outbox or bool(decided.batch.outbox)
        _count(decided, now_us)

    def _is_overdue(self, memory: Partition) -> bool:
        is_behind = memory.next_offset != memory.stored_offset
        return is_behind and self._clock.now_us() - self._written_us >= POSITION_EVERY_US

    # The log's records

    def _in_place(self, memory: Partition, records: Sequence[Record]) -> Sequence[Record]:
        """Those records that go on exactly where we stand, up to a gap; the rest is asked for again.

        A log may skip offsets (control records, compaction), and a client may hand out what it had fetched
        before it was positioned. So a gap is believed only when the log, asked for exactly our place, answers
        with the same gap again, and a record from before our place never is.
        """
        if not records:
            return records
        first = records[0].offset
        if first != memory.next_offset and (first < memory.next_offset or first != self._gap_at):
            self._gap_at = first
            self._consumer.seek(self.number, memory.next_offset)
            logger.warning("not where we stand", partition=self.number, at=memory.next_offset, got=first)
            return ()
        self._gap_at = None
        whole = _until_gap(records)
        if len(whole) < len(records):
            self._consumer.seek(self.number, whole[-1].offset + 1)
        return whole

    def _hold(self, memory: Partition, rest: Sequence[Record]) -> None:
        """What the sweep keeps waiting is held, and nothing more is fetched until it is folded."""
        if rest:
            self._consumer.forget(self.number)
        elif self.held:
            self._consumer.seek(self.number, memory.next_offset)
        self.held = rest


def _until_gap(records: Sequence[Record]) -> Sequence[Record]:
    first = records[0].offset
    if records[-1].offset - first == len(records) - 1:
        return records
    consecutive = 0
    while records[consecutive].offset == first + consecutive:
        consecutive += 1
    return records[:consecutive]


def _count(decided: Decided, now_us: int) -> None:
    metrics.LAST_DECISION_SECONDS.set(now_us / 1_000_000)
    for product, count in decided.new_days.items():
        metrics.FIRST_ACTIVE_DAYS.labels(product).inc(count)
    for (product, kind), count in decided.told.items():
        metrics.TRIGGERS_EMITTED.labels(product, kind).inc(count)
    for reason, count in decided.rejected.items():
        metrics.DEAD_LETTERS.labels(reason).inc(count)
