"""A partition's traces: from which requests a batch came, and where each of its triggers was decided.

A batch has been asked for by many, so its span has links to their requests and no parent. A decision begins a
trace of its own, for most are made of silence, at an hour when nobody asks for anything; it has a link to the
last event that is known of the customer (decision record 0104).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from services.evaluator.changes import Batch, OutboxRow
from services.evaluator.letters import read
from shared import tracing
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS, Event, record_key
from shared.log import Record
from shared.triggers import decode_trigger, traced_as

CUSTOMERS_MAX = 10_000
"""Customers of a partition whose last traced event is remembered; the longest silent are forgotten first."""


class Tracks:
    """What is remembered of a partition for its traces; nothing at all while none are made."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._last: dict[bytes, str] = {}
        self._batch = tracing.NO_SPAN

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A batch, from its decoding to its commit; one that fails is read again, and told of then."""
        if not tracing.is_on():
            yield
            return
        self._batch = tracing.begin(
            f"process {TOPIC_EVENTS}",
            "consumer",
            {
                "messaging.operation.type": "process",
                "messaging.operation.name": "fold",
                "messaging.destination.name": TOPIC_EVENTS,
                "messaging.destination.partition.id": str(self._partition),
            },
        )
        try:
            yield
            self._batch.end()
        finally:
            self._batch = tracing.NO_SPAN

    def consumed(self, records: Sequence[Record]) -> None:
        """These records are what the batch is made of; without one that is traced it is not told of."""
        if not tracing.is_on():
            return
        asked_by = [record.traceparent for record in records if record.traceparent is not None]
        if not asked_by:
            self._batch = tracing.NO_SPAN
        self._batch.link(asked_by)
        self._batch.note({"messaging.batch.message_count": len(records)})
        for record in records:
            if record.traceparent is not None and type(read(record)) is Event:
                self._remember(record.key or b"", record.traceparent)

    @contextmanager
    def deciding(self, batch: Batch) -> Iterator[Batch]:
        """The batch with a trace begun for each of its triggers; told of once the block has written it."""
        if not batch.outbox or not tracing.is_on():
            yield batch
            return
        spans = [self._decision(row) for row in batch.outbox]
        rows = (
            msgspec.structs.replace(row, traceparent=span.traceparent)
            for row, span in zip(batch.outbox, spans, strict=True)
        )
        yield msgspec.structs.replace(batch, outbox=tuple(rows))
        for span in spans:
            span.end()

    def _remember(self, key: bytes, traceparent: str) -> None:
        self._last.pop(key, None)
        self._last[key] = traceparent
        if len(self._last) > CUSTOMERS_MAX:
            del self._last[next(iter(self._last))]

    def _decision(self, row: OutboxRow) -> tracing.Span:
        if row.topic != TOPIC_TRIGGERS:
            return tracing.NO_SPAN
        trigger = decode_trigger(row.value)
        last = self._last.get(record_key(row.product, row.customer_id))
        known = [link for link in (last, self._batch.traceparent) if link is not None]
        return tracing.begin(
            f"decide {trigger.type}",
            "producer",
            {
                "messaging.operation.type": "create",
                "messaging.operation.name": "decide",
                "messaging.destination.name": TOPIC_TRIGGERS,
                **traced_as(trigger),
            },
            links=known,
        )
