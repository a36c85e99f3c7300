"""What is known of an owned partition: its place, its time, its customers.

Decisions are made on it in memory and applied by the worker in one transaction. Where that fails, the
whole memory is thrown away and read anew, so nothing here is ever rolled back.
"""

from collections.abc import Iterable, Mapping

import msgspec

from services.evaluator.cache import CustomerCache, Known
from services.evaluator.changes import CustomerKey, CustomerRow, Position
from services.evaluator.core import watermark
from services.evaluator.core.past import NONE_EXCUSED
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState, decode_state
from services.evaluator.letters import customer_of
from shared.errors import PermanentError
from shared.events import TOPIC_EVENTS, Tick
from shared.log import Record

POISON_IN_A_ROW_MAX = 1_000
"""So many records in a row that nobody can read are no accident: better to stop than to put all aside."""


class TooMuchPoison(PermanentError):
    """The topic is being filled with something else; somebody has to look before reading goes on."""

    code = "too_much_poison"


class Partition:
    """The memory of one partition while it is owned.

    `stored_offset` is where the store stands, `next_offset` the next record to fold: they differ by records
    that changed nothing. `next_due_us` is never later than the earliest due customer. While `is_sweeping`,
    customers due before the watermark may be left, and time does not move on.
    """

    def __init__(
        self,
        position: Position,
        *,
        products: Mapping[str, Product],
        excused: Mapping[str, frozenset[int]],
        next_due_us: int | None,
        cached_max: int,
    ) -> None:
        self.number = position.partition
        self.stored_offset = self.next_offset = position.next_offset
        self.watermark_us = position.watermark_us
        self.products = products
        self.excused = dict(excused)
        self.next_due_us = next_due_us
        self.is_sweeping = self._is_due(next_due_us)
        self.cache = CustomerCache(cached_max)
        self.poison_count = 0  # in a row
        self.skew_us = 0

    def position(self) -> Position:
        return Position(partition=self.number, next_offset=self.next_offset, watermark_us=self.watermark_us)

    def excused_days(self, product: str) -> frozenset[int]:
        """Ordinals; the same object as long as nothing was added."""
        return self.excused.get(product, NONE_EXCUSED)

    def swept(self, next_due_us: int | None) -> None:
        """Nobody is left whom the watermark has passed; the next one is due at `next_due_us`."""
        self.is_sweeping = False
        self.next_due_us = next_due_us

    def await_sweep(self, due_us: int | None) -> None:
        """Somebody becomes due at `due_us`."""
        if due_us is not None and (self.next_due_us is None or due_us < self.next_due_us):
            self.next_due_us = due_us

    def move_time(self, tick: Tick, appended_us: int) -> None:
        """A tick is read."""
        self.skew_us = watermark.skew_us(tick_at_us=tick.at_us, appended_us=appended_us)
        self.watermark_us = watermark.moved(self.watermark_us, tick_at_us=tick.at_us, appended_us=appended_us)
        self.is_sweeping = self.is_sweeping or self._is_due(self.next_due_us)

    def recall(self, product: str) -> None:
        """Everybody of a product becomes due for the watermark as it stands."""
        due_us = self.watermark_us - 1
        for known in self.cache.of_product(product):
            if known.state is not None:
                known.due_us = due_us
        self.next_due_us = due_us
        self.is_sweeping = True

    def count_poison(self, message: str) -> None:
        """Another record that could not be taken, and why; raises TooMuchPoison."""
        self.poison_count += 1
        if self.poison_count >= POISON_IN_A_ROW_MAX:
            raise TooMuchPoison(
                f"{TOPIC_EVENTS}/{self.number} stopped before offset {self.next_offset}: "
                f"{self.poison_count} in a row could not be taken, the last one: {message}"
            )

    def forgive(self, poison_count: int) -> None:
        """A record that was none ends the row of those that were; `poison_count`: how many before it."""
        if self.poison_count == poison_count:
            self.poison_count = 0

    def _is_due(self, due_us: int | None) -> bool:
        return due_us is not None and due_us < self.watermark_us


def strangers(records: Iterable[Record], partition: Partition) -> dict[CustomerKey, bytes]:
    """The customers of these records that are not in memory, with their records' key."""
    unknown = (key for key in {record.key for record in records} if key and partition.cache.get(key) is None)
    return {
        customer: key
        for key in unknown
        if (customer := customer_of(key)) is not None and customer[0] in partition.products
    }


def remember(
    partition: Partition, keys: Mapping[CustomerKey, bytes], rows: Mapping[CustomerKey, CustomerRow]
) -> None:
    """Put what the store knows of those customers into memory; a row of another partition is left out."""
    for customer, key in keys.items():
        row = rows.get(customer)
        if row is None:
            partition.cache.put(key, Known(None, None))
        elif row.partition == partition.number:
            partition.cache.put(key, Known(row.state, row.due_us))


def decoded(row: CustomerRow) -> CustomerState:
    """The state of a row; PermanentError where it cannot be read."""
    return state_of(row.key, row.state)


def state_of(key: CustomerKey, stored: bytes) -> CustomerState:
    """A stored state; PermanentError where it cannot be read, for guessing would accuse somebody."""
    try:
        return decode_state(stored)
    except (msgspec.MsgspecError, KeyError) as error:
        raise PermanentError(
            f"the stored state of {key[0]}/{key[1]} cannot be read: {error}",
            code="state_unreadable",
        ) from error
