"""The customers of one partition that were seen lately, as stored; bounded, and gone with the partition.

A state is kept as its bytes: decoded it takes ten times the memory, and only a customer's first event of a
day needs it, which costs ten times the decoding. Customers are found by their records' key as it stands in
the log.

Two generations instead of a list in order of use: a hit costs one look-up, and whatever was not asked for
while a generation filled up is forgotten together.
"""

from collections.abc import Iterator

import msgspec

from services.evaluator.core.quiet import Quiet
from shared.events import record_key


class Known(msgspec.Struct, gc=False):
    """One customer in memory, `state` and `due_us` as in its row; `state` None: nobody of that id is stored.

    Never part of a cycle: the garbage collector would look through all of them again and again.
    """

    state: bytes | None
    due_us: int | None
    quiet: Quiet | None = None


class CustomerCache:
    """Holds `entries_max` customers at the most when `age` is called between batches."""

    def __init__(self, entries_max: int) -> None:
        self._generation_max = max(1, entries_max // 2)
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> Known | None:
        """The customer of that record key if it is held; it counts as asked for."""
        known = self._young.get(key)
        if known is None and (known := self._old.pop(key, None)) is not None:
            self._young[key] = known
        return known

    def put(self, key: bytes, known: Known) -> None:
        self._old.pop(key, None)
        self._young[key] = known

    def of_product(self, product: str) -> Iterator[Known]:
        """Every customer held of one product."""
        of_product = record_key(product, "")
        for generation in (self._young, self._old):
            yield from (known for key, known in generation.items() if key.startswith(of_product))

    def age(self) -> None:
        """Forget what was not asked for lately, if there is too much. Never within a batch, which counts on
        finding what it has put."""
        if len(self._young) >= self._generation_max:
            self._old = self._young
            self._young = {}
