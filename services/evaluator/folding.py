"""A partition's records, and the passing of its time, as one batch.

    fold_records    records in, in the order of the log, up to where a sweep has to come first
    sweep           customers that are due in, each judged at the watermark

A row is due again only after the watermark at which it was written: its `due_us` is the later of the state's
and the watermark. So the sweep of a tick meets each customer once, whatever was folded meanwhile, and what is
decided does not depend on how records and sweep took turns (decision record 0041).
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from services.evaluator import engine
from services.evaluator.cache import Known
from services.evaluator.changes import Batch, CustomerKey, CustomerRow
from services.evaluator.core.calendar import DAY_US, EPOCH_DAY, HOUR_US
from services.evaluator.core.quiet import quiet_after
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState, encode_state
from services.evaluator.letters import POISON, CustomerMessage, Unreadable, misplaced, read
from services.evaluator.partition import Partition, state_of
from services.evaluator.telling import NOBODY, Telling
from shared.events import (
    CustomerErased,
    DayExcused,
    Event,
    Message,
    ProfileChanged,
    Tick,
    record_key,
)
from shared.log import Record

UNJUDGED_AGAIN_US = HOUR_US
"""A customer whom the core fails to judge is tried again after this long."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, how many of the records it covers, and what to count once it is in the store."""

    batch: Batch
    consumed_count: int = 0
    new_days: Counter[str]
    told: Counter[tuple[str, str]]
    rejected: Counter[str]


def fold_records(partition: Partition, records: Sequence[Record]) -> Decided:
    """Folds records in order; stops before a tick or a day excused while the sweep is not over, so that every
    customer is judged with the same time and the same days excused.

    Their customers must be in memory (`remember`). Raises TooMuchPoison.
    """
    folding = _Folding(partition)
    consumed_count = 0
    for record in records:
        message = read(record)
        if type(message) is not Event or not folding.takes(record, message):
            if partition.is_sweeping and isinstance(message, Tick | DayExcused):
                break
            folding.take(record, message)
        consumed_count += 1
    if consumed_count:
        partition.next_offset = records[consumed_count - 1].offset + 1
    return folding.decided(consumed_count)


def sweep(partition: Partition, rows: Sequence[CustomerRow]) -> Decided:
    """Judges customers that the watermark has passed."""
    folding = _Folding(partition)
    for row in rows:
        known = partition.cache.get(record_key(*row.key))
        if known is None or known.state is None:
            known = Known(row.state, row.due_us)
        folding.settle(row.key, known)
    return folding.decided(0)


def recalled(partition: Partition, products: Sequence[Product]) -> Batch:
    """Everybody of these products is to be looked at again, for their rules have changed."""
    for product in products:
        partition.recall(product.id)
    return Batch(
        expected_offset=partition.stored_offset,
        position=partition.position(),
        recalled=tuple(product.id for product in products),
        adopted=tuple((product.id, product.key, product.source) for product in products),
    )


class _Folding:
    """One batch in the making."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._changed: dict[CustomerKey, Known] = {}
        self._erased: list[CustomerErased] = []
        self._excused: list[tuple[str, str]] = []
        self._recalled: list[str] = []
        self._telling = Telling()
        self._new_days: Counter[str] = Counter()
        self._last_state: CustomerState | None = None
        self._last_encoded: bytes | None = None

    def takes(self, record: Record, event: Event) -> bool:
        """The short way of an event whose customer is in memory: most find their day active already, and are
        passed over."""
        partition = self._partition
        key = record.key
        known = None if key is None else partition.cache.get(key)
        if known is None or key != record_key(event.product, event.customer_id):
            return False
        quiet = known.quiet
        if quiet is not None and quiet.covers(event, partition.watermark_us, record.appended_us):
            partition.poison_count = 0
            return True
        product = partition.products.get(event.product)
        if product is None:
            return False
        partition.next_offset = record.offset
        poison_count = partition.poison_count
        self._observe((event.product, event.customer_id), known, record, event, product)
        partition.forgive(poison_count)
        return True

    def take(self, record: Record, message: Message | Unreadable) -> None:
        """The next record, whatever it is."""
        self._partition.next_offset = record.offset
        poison_count = self._partition.poison_count
        if isinstance(message, Tick):
            self._partition.move_time(message, record.appended_us)
        elif isinstance(message, Unreadable):
            self._put_aside_poison(record, message.why)
        elif isinstance(message, DayExcused):
            self._excuse(record, message)
        elif (wrong := misplaced(record, message)) is not None:
            self._put_aside_poison(record, wrong)
        elif (product := self._partition.products.get(message.product)) is None:
            self._put_aside_unknown(record, message.product, message.customer_id)
        else:
            self._fold(record, message, product)
        self._partition.forgive(poison_count)

    def settle(self, key: CustomerKey, known: Known) -> None:
        """Judges one customer at the watermark; its row is written even where nothing changed, for its due
        instant has passed."""
        assert known.state is not None
        partition = self._partition
        state = state_of(key, known.state)
        try:
            outcome = engine.settle(
                state,
                customer_id=key[1],
                product=partition.products[key[0]],
                watermark_us=partition.watermark_us,
                excused=partition.excused_days(key[0]),
            )
            encoded = known.state if outcome.state is state else self._encoded(outcome.state)
        except Exception as error:
            self._put_aside_customer(key, known, error)
            return
        assert outcome.state is not None
        partition.poison_count = 0
        self._keep(key, known, outcome.state, encoded)
        self._telling.emit(key, outcome.triggers)

    def decided(self, consumed_count: int) -> Decided:
        partition = self._partition
        rows = tuple(
            CustomerRow(
                product=key[0],
                customer_id=key[1],
                partition=partition.number,
                due_us=known.due_us,
                state=known.state,
            )
            for key, known in self._changed.items()
            if known.state is not None
        )
        return Decided(
            batch=Batch(
                expected_offset=partition.stored_offset,
                position=partition.position(),
                customers=rows,
                erased=tuple(self._erased),
                excused=tuple(self._excused),
                recalled=tuple(self._recalled),
                outbox=tuple(self._telling.rows),
            ),
            consumed_count=consumed_count,
            new_days=self._new_days,
            told=self._telling.triggers,
            rejected=self._telling.rejected,
        )

    # One record

    def _fold(self, record: Record, message: CustomerMessage, product: Product) -> None:
        partition = self._partition
        key = (message.product, message.customer_id)
        if isinstance(message, CustomerErased):
            self._erase(key, message)
            return
        known = partition.cache.get(record.key or b"")
        if known is None:
            self._put_aside_poison(
                record, "the customer belongs to another partition: was their number changed?"
            )
            return
        self._observe(key, known, record, message, product)

    def _observe(
        self,
        key: CustomerKey,
        known: Known,
        record: Record,
        message: Event | ProfileChanged,
        product: Product,
    ) -> None:
        if known.due_us is not None and known.due_us < self._partition.watermark_us:
            # The sweep has not come here yet; it may not find the customer other than it would have.
            self.settle(key, known)
        before = None if known.state is None else state_of(key, known.state)
        excused = self._partition.excused_days(product.id)
        try:
            outcome = engine.fold(
                before,
                message,
                product=product,
                appended_us=record.appended_us,
                watermark_us=self._partition.watermark_us,
                excused=excused,
            )
            # A profile may hold what JSON has and the store has not, such as a number of 100 digits.
            encoded = known.state if outcome.state is before else self._encoded(outcome.state)
        except Exception as error:
            # Whatever the core cannot take is put aside with its reason; too many stop the partition.
            self._put_aside_poison(record, f"{type(error).__name__}: {error}", key)
            return
        if outcome.rejected is not None:
            self._telling.put_aside(record, *outcome.rejected, key)
            return
        after = outcome.state
        assert after is not None
        if after is not before:
            self._keep(key, known, after, encoded)
            self._count_day(product.id, before, after)
        if type(message) is Event:
            # Also after the first one of its day, for the second one is next.
            known.quiet = quiet_after(
                known.quiet, after, message, product, excused, is_plain=outcome.is_plain
            )
        if outcome.triggers:
            self._telling.emit(key, outcome.triggers)

    def _encoded(self, state: CustomerState | None) -> bytes | None:
        """As stored; customers who began on the same day have one state, which comes again and again."""
        if state is not self._last_state:
            self._last_encoded = None if state is None else encode_state(state)
            self._last_state = state
        return self._last_encoded

    def _keep(self, key: CustomerKey, known: Known, state: CustomerState, encoded: bytes | None) -> None:
        known.state = encoded
        known.due_us = None if state.due_us is None else max(state.due_us, self._partition.watermark_us)
        known.quiet = None
        self._changed[key] = known
        self._partition.await_sweep(known.due_us)

    def _erase(self, key: CustomerKey, message: CustomerErased) -> None:
        """The customer and everything told of it go, also what this batch has told so far."""
        self._changed.pop(key, None)
        self._erased.append(message)
        self._telling.forget(key)
        self._partition.cache.put(record_key(*key), Known(None, None))

    def _excuse(self, record: Record, message: DayExcused) -> None:
        partition = self._partition
        if message.product not in partition.products:
            self._put_aside_unknown(record, message.product)
            return
        known = partition.excused_days(message.product)
        day = message.day.toordinal()
        if day in known:
            return
        partition.excused[message.product] = known | {day}
        for customer in partition.cache.of_product(message.product):
            customer.quiet = None  # an event settles by the days excused
        self._excused.append((message.product, message.day.isoformat()))
        if day <= partition.watermark_us // DAY_US + EPOCH_DAY + 1:  # somewhere it may be judged already
            partition.recall(message.product)
            self._recalled.append(message.product)

    def _count_day(self, product: str, before: CustomerState | None, after: CustomerState) -> None:
        if after.active and (before is None or after.active is not before.active):
            self._new_days[product] += 1

    # What is put aside

    def _put_aside_poison(self, record: Record, message: str, key: CustomerKey = NOBODY) -> None:
        self._partition.count_poison(message)
        self._telling.put_aside(record, POISON, message, key)

    def _put_aside_customer(self, key: CustomerKey, known: Known, error: Exception) -> None:
        """One customer must not keep the others of its partition from being judged."""
        partition = self._partition
        partition.count_poison(f"{key[0]}/{key[1]} cannot be judged: {error}")
        message = f"{type(error).__name__}: {error}"
        self._telling.put_aside_customer(key, message, partition.watermark_us)
        known.due_us = partition.watermark_us + UNJUDGED_AGAIN_US
        known.quiet = None  # whatever comes of the customer cannot be taken either, and is put aside
        self._changed[key] = known
        partition.await_sweep(known.due_us)

    def _put_aside_unknown(self, record: Record, product: str, customer_id: str = "") -> None:
        text = f"no product {product!r} in the configuration"
        self._telling.put_aside(record, "unknown_product", text, (product, customer_id))
