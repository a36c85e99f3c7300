"""The customers of one partition that were seen lately, decoded; bounded, and gone with the partition.

Two generations instead of a list in order of use: a hit costs one look-up, and whatever was not asked for
while a generation filled up is forgotten together.
"""

from collections.abc import Iterator

from services.evaluator.changes import CustomerKey
from services.evaluator.core.quiet import Quiet
from services.evaluator.core.state import CustomerState


class Known:
    """One customer in memory; `state` None: nobody of that id is stored. `due_us` is as in its row."""

    __slots__ = ("due_us", "quiet", "state")

    def __init__(self, state: CustomerState | None, due_us: int | None) -> None:
        self.state = state
        self.due_us = due_us
        self.quiet: Quiet | None = None


class CustomerCache:
    """Holds `entries_max` customers at the most when `age` is called between batches."""

    def __init__(self, entries_max: int) -> None:
        self._generation_max = max(1, entries_max // 2)
        self._young: dict[CustomerKey, Known] = {}
        self._old: dict[CustomerKey, Known] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: CustomerKey) -> Known | None:
        """The customer if it is held; it counts as asked for."""
        known = self._young.get(key)
        if known is None and (known := self._old.pop(key, None)) is not None:
            self._young[key] = known
        return known

    def put(self, key: CustomerKey, known: Known) -> None:
        self._old.pop(key, None)
        self._young[key] = known

    def of_product(self, product: str) -> Iterator[Known]:
        """Every customer held of one product."""
        for generation in (self._young, self._old):
            yield from (known for key, known in generation.items() if key[0] == product)

    def age(self) -> None:
        """Forget what was not asked for lately, if there is too much. Never within a batch, which counts on
        finding what it has put."""
        if len(self._young) >= self._generation_max:
            self._old = self._young
            self._young = {}
