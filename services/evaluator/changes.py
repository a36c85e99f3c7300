"""What one unit of work changes: the values that are decided in memory and applied in one transaction."""

import msgspec

from shared.events import CustomerErased

CustomerKey = tuple[str, str]
"""Product and customer id."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a partition is read: everything before `next_offset` is in the store, and no more than that."""

    partition: int
    next_offset: int
    watermark_us: int


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as stored: `state` is msgpack, `due_us` when a sweep has to look at it."""

    product: str
    customer_id: str
    partition: int
    due_us: int | None
    state: bytes

    @property
    def key(self) -> CustomerKey:
        return self.product, self.customer_id


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is a row before it is a message; `id` makes a second writing of it harmless.

    `traceparent` is the context of its decision, where that is traced.
    """

    id: str
    topic: str
    product: str
    customer_id: str
    value: bytes
    traceparent: str | None = None


class SeenRules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules by which customers were looked at; `rules` is JSON, as they stood in the file."""

    key: str
    rules: str
    first_us: int
    last_us: int


class UnsentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An outbox row to be relayed; `seq` orders the rows of a partition as they were decided."""

    seq: int
    product: str
    customer_id: str
    value: bytes
    traceparent: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that moving a partition from `expected_offset` to `position` changes.

    Applied in this order: the fence, erasures, customers, days excused, recalls, outbox. `excused` are
    products and ISO days. The customers of `recalled` products become due at once; `adopted` are products
    with the key of the rules by which this partition's customers are judged from now on, and these as JSON.
    """

    expected_offset: int
    position: Position
    customers: tuple[CustomerRow, ...] = ()
    erased: tuple[CustomerErased, ...] = ()
    excused: tuple[tuple[str, str], ...] = ()
    recalled: tuple[str, ...] = ()
    adopted: tuple[tuple[str, str, str], ...] = ()
    outbox: tuple[OutboxRow, ...] = ()

    @property
    def changes_something(self) -> bool:
        """False when only the offset moves, which may as well be written together with the next change."""
        return bool(self.customers or self.erased or self.excused or self.outbox or self.adopted)
