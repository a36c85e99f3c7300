"""Reads triggers from the log and turns each batch into tasks and deliveries, in one transaction.

The transaction's first statement moves the partition's position from exactly the offset at which the
batch begins. Whoever reads the same partition at the same time finds it moved, and writes nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.desk import guarding
from services.notifier.desk.taking import Taking
from services.notifier.parts import NotifierParts
from services.notifier.rests import first_of
from services.notifier.store import ledgers, places
from services.notifier.tasks.folding import take_trigger
from shared.config import Config
from shared.errors import Fenced, PermanentError, StoreUnavailable, TransientError
from shared.events import TOPIC_TRIGGERS, DeadLetter
from shared.failpoints import hit
from shared.log import Consumer, Record
from shared.metrics import DEAD_LETTERS, LAG_RECORDS, RECORDS_READ, forget_partition
from shared.triggers import Trigger, decode_trigger

log = structlog.get_logger()

GROUP = "notifier"
RECORDS_MAX = 1000
PAUSE_SECONDS = 1.0
IDLE_FETCHES_MAX = 10
"""After so many empty fetches every partition is sought anew, in case the group was shared out unseen."""

POISON_IN_A_ROW_MAX = 100
_PAYLOAD_CHARS_MAX = 4_000

Readable = tuple[Record, Trigger]


class Intake:
    """A member of the group that reads `usage.triggers`; `on_news` hears of each batch that changed tasks."""

    def __init__(self, parts: NotifierParts, on_news: Callable[[], None]) -> None:
        self._parts = parts
        self._on_news = on_news
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._idle_count = 0
        self._poison_count = 0

    async def step(self) -> bool:
        """One fetch and, a partition at a time, what it brought; True if anything was read."""
        consumer = await self._joined()
        await self._take_places(consumer)
        batches = await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=self._parts.fetch_seconds)
        self._idle_count = 0 if batches else self._idle_count + 1
        for partition, records in batches.items():
            await self._take(consumer, partition, records)
        return bool(batches)

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until told to stop; waits out what is transient. Raises what somebody has to see to."""
        while not stop.is_set():
            try:
                await self.step()
            except TransientError as error:
                log.warning("triggers are not read for the moment", error=error.message)
                await first_of(stop, seconds_max=PAUSE_SECONDS)
        await self.close()

    async def close(self) -> None:
        """Leaves the group."""
        if self._consumer is not None:
            await self._consumer.close()
            self._consumer = None
            for partition in self._next:
                forget_partition(GROUP, partition)
            self._next.clear()

    async def _joined(self) -> Consumer:
        if self._consumer is None:
            self._consumer = await self._parts.log.consumer(TOPIC_TRIGGERS, GROUP)
        return self._consumer

    async def _take_places(self, consumer: Consumer) -> None:
        """Seeks owned partitions to where the database says; forgets what is not owned any more."""
        owned = consumer.assignment()
        if self._idle_count >= IDLE_FETCHES_MAX:
            self._next.clear()
            self._idle_count = 0
        for partition in self._next.keys() - owned:
            del self._next[partition]
            forget_partition(GROUP, partition)
        for partition in sorted(owned - self._next.keys()):
            offset = await self._position(consumer, partition)
            consumer.seek(partition, offset)
            self._next[partition] = offset

    async def _position(self, consumer: Consumer, partition: int) -> int:
        async with self._parts.database.read() as connection:
            found = await places.position(connection, partition)
        if found is not None:
            return found
        beginning = await consumer.beginning(partition)
        now_us = self._parts.clock.now_us()
        async with self._parts.database.begin() as connection:
            return await places.create_position(connection, partition, beginning, now_us)

    async def _take(self, consumer: Consumer, partition: int, records: Sequence[Record]) -> None:
        first = self._next.pop(partition, None)
        if first is None or records[0].offset != first:
            consumer.forget(partition)  # Not what we are waiting for: it is sought anew at the next step.
            return
        try:
            await self._commit(partition, first, records)
        except Fenced as error:
            log.info("another worker reads this partition", partition=partition, error=error.message)
            consumer.forget(partition)
            return
        except StoreUnavailable:
            # Whether it was committed, only the database knows: it is asked before anything else is read.
            consumer.forget(partition)
            raise
        self._next[partition] = records[-1].offset + 1
        RECORDS_READ.labels(GROUP).inc(len(records))
        LAG_RECORDS.labels(GROUP, str(partition)).set(await consumer.end(partition) - self._next[partition])
        await consumer.commit({partition: self._next[partition]})

    async def _commit(self, partition: int, first: int, records: Sequence[Record]) -> None:
        """Gather, decide, apply: one transaction."""
        now_us = self._parts.clock.now_us()
        readable, letters = self._read(records, now_us)
        config = self._parts.config
        taking = Taking(partition, readable)
        async with self._parts.database.begin() as connection:
            await places.move_position(
                connection, partition, first=first, next_offset=records[-1].offset + 1, now_us=now_us
            )
            readable = await _not_erased(connection, readable)
            triggers = [trigger for _, trigger in readable]
            outages = await guarding.watch(connection, triggers, config, now_us)
            ledger = await ledgers.open_ledger(
                connection,
                triggers,
                config.channels,
                outages,
                closed_from_us=_looks_back_to_us(triggers, config, now_us),
            )
            for record, trigger in readable:
                take_trigger(ledger, trigger, record.value, config, now_us)
            await guarding.weigh(connection, ledger, config, now_us)
            await ledgers.write(connection, ledger)
            await places.write_dead_letters(connection, letters)
            hit("notifier.batch.written")
        hit("notifier.batch.committed")
        taking.committed(ledger.known)
        if not ledger.is_empty:
            self._on_news()

    def _read(self, records: Sequence[Record], now_us: int) -> tuple[list[Readable], list[DeadLetter]]:
        """The triggers of a batch and, as dead letters, what is none.

        Raises PermanentError when nothing but unreadable records comes: then the fault is ours.
        """
        readable: list[Readable] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                readable.append((record, decode_trigger(record.value)))
                self._poison_count = 0
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                letters.append(_dead_letter(record, str(error), now_us))
                self._poison_count += 1
                DEAD_LETTERS.labels("poison").inc()
            if self._poison_count > POISON_IN_A_ROW_MAX:
                raise PermanentError(
                    f"{self._poison_count} records in a row of {TOPIC_TRIGGERS}/{record.partition} cannot be"
                    f" read, the last at {record.offset}: is an older version running?",
                    code="too_much_poison",
                )
        return readable, letters


async def _not_erased(connection: AsyncConnection, readable: list[Readable]) -> list[Readable]:
    """Without the triggers of customers that were erased while these lay in the topic."""
    standing = await places.standing(connection, {trigger.id for _, trigger in readable})
    gone = [trigger.id for _, trigger in readable if trigger.id not in standing]
    if gone:
        log.info("triggers of erased customers are passed over", ids=gone[:20], count=len(gone))
    return [(record, trigger) for record, trigger in readable if trigger.id in standing]


def _looks_back_to_us(triggers: Sequence[Trigger], config: Config, now_us: int) -> int | None:
    """From when on closed tasks matter; None where no playbook of theirs has a cooldown."""
    named = {trigger.data.product for trigger in triggers}
    spans = [section.looks_back for product, section in config.products.items() if product in named]
    longest = max(spans, default=timedelta())
    return now_us - longest // timedelta(microseconds=1) if longest else None


def _dead_letter(record: Record, why: str, now_us: int) -> DeadLetter:
    origin = f"{TOPIC_TRIGGERS}/{record.partition}/{record.offset}"
    product, _, customer_id = (record.key or b"").decode(errors="replace").partition("/")
    return DeadLetter(
        id=origin,
        product=product,
        customer_id=customer_id or None,
        reason="poison",
        message=why[:300],
        origin=origin,
        rejected_us=now_us,
        payload=record.value[:_PAYLOAD_CHARS_MAX].decode(errors="replace"),
    )
