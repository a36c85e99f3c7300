"""Reads a log of one customer as a worker reads its partition, record by record, with the row in memory."""

from collections.abc import Mapping, Sequence

import msgspec

from services.evaluator.changes import Batch, CustomerRow, OutboxRow, Position
from services.evaluator.core.rules import compile_product
from services.evaluator.folding import Decided, fold_records, recalled, sweep
from services.evaluator.partition import Partition, remember, strangers
from shared.config import ProductSection
from shared.events import CustomerErased, Event, Message, ProfileChanged, encode, record_key
from shared.log import Record
from tests.histories import CUSTOMER, PRODUCT
from tests.oracle.log import Entry

KEY = (PRODUCT, CUSTOMER)


class PartitionReader:
    """`remembers` False: what is known to be quiet is forgotten before each record, so that the core is asked
    about every one. `passed_over_count`: the events about which it was not asked."""

    def __init__(self, section: ProductSection, *, remembers: bool) -> None:
        self.row: CustomerRow | None = None
        self.passed_over_count = 0
        self._remembers = remembers
        self._offset = 0
        self._told: list[OutboxRow] = []
        self._start(section, Position(partition=0, next_offset=0, watermark_us=0), {})

    def read(self, fetched: Sequence[Entry]) -> list[OutboxRow]:
        """What is told by entries that are fetched together: the sweep comes after them, or where it must."""
        self._told = []
        for entry in fetched:
            if isinstance(entry.message, ProductSection):
                self._restart(entry.message)
            else:
                self._fold(self._record(entry), entry.message)
        self._sweep()
        return self._told

    def _start(
        self, section: ProductSection, position: Position, excused: Mapping[str, frozenset[int]]
    ) -> None:
        self.product = compile_product(PRODUCT, section)
        self.partition = Partition(
            position,
            products={PRODUCT: self.product},
            excused=excused,
            next_due_us=None if self.row is None else self.row.due_us,
            cached_max=10,
        )

    def _restart(self, section: ProductSection) -> None:
        """The service starts again with other rules, and looks at everybody under them."""
        self._start(section, self.partition.position(), self.partition.excused)
        self._apply(recalled(self.partition, [self.product]))

    def _record(self, entry: Entry) -> Record:
        is_of_customer = isinstance(entry.message, Event | ProfileChanged | CustomerErased)
        record = Record(
            partition=0,
            offset=self._offset,
            key=record_key(*KEY) if is_of_customer else None,
            value=encode(entry.message),
            appended_us=entry.appended_us,
        )
        self._offset += 1
        return record

    def _fold(self, record: Record, message: Message) -> None:
        rows = {} if self.row is None else {KEY: self.row}
        remember(self.partition, strangers([record], self.partition), rows)
        self._look_at_quiet(record, message)
        while not self._taken(fold_records(self.partition, [record])):
            self._sweep()

    def _look_at_quiet(self, record: Record, message: Message) -> None:
        known = self.partition.cache.get(record_key(*KEY))
        if known is None or known.quiet is None:
            return
        if not self._remembers:
            known.quiet = None
        elif isinstance(message, Event):
            watermark_us = self.partition.watermark_us
            self.passed_over_count += known.quiet.covers(message, watermark_us, record.appended_us)

    def _sweep(self) -> None:
        if self.partition.is_sweeping:
            due_us = None if self.row is None else self.row.due_us
            if due_us is not None and due_us < self.partition.watermark_us:
                assert self.row is not None
                self._taken(sweep(self.partition, [self.row]))
            self.partition.swept(None if self.row is None else self.row.due_us)

    def _taken(self, decided: Decided) -> bool:
        self._apply(decided.batch)
        return decided.consumed_count > 0

    def _apply(self, batch: Batch) -> None:
        """As the store does, in its order."""
        self.partition.stored_offset = batch.position.next_offset
        if batch.erased:
            self.row = None
        for row in batch.customers:
            self.row = row
        if batch.recalled and self.row is not None:
            self.row = msgspec.structs.replace(self.row, due_us=batch.position.watermark_us - 1)
        self._told += batch.outbox
