"""The log: an ordered, durable, partitioned sequence of records; the seam between the services.

Two implementations pass one contract suite: `embedded` (a table in the SQLite file) and `kafka`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is appended. `key` chooses the partition unless `partition` names it (ticks do).

    `traceparent` is the context of what has asked for it, where that is traced.
    """

    value: bytes
    key: bytes | None = None
    partition: int | None = None
    traceparent: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is read: `appended_us` is the log's own clock (LogAppendTime) in microseconds since the epoch.

    `traceparent` is the message's; a log need not read it while no traces are made.
    """

    partition: int
    offset: int
    appended_us: int
    key: bytes | None
    value: bytes
    traceparent: str | None = None


class Consumer(Protocol):
    """Reads one topic as a member of a group; positions come from the caller's own store."""

    def assignment(self) -> frozenset[int]:
        """The partitions owned now; empty before the group has settled."""
        ...

    def sought(self) -> frozenset[int]:
        """The partitions with a position; whenever the group is shared out anew, all of them lose theirs."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on. A partition that was never sought is not fetched."""
        ...

    def forget(self, partition: int) -> None:
        """Do not fetch `partition` until it is sought again (back-pressure, fencing)."""
        ...

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        """Records of sought, owned partitions in offset order; waits up to the timeout for the first one.

        Raises OffsetOutOfRange when a sought offset lies outside the log, LogUnavailable when no broker
        answers or this consumer is closed: a caller that reads on must not go round without ever waiting.
        """
        ...

    async def beginning(self, partition: int) -> int:
        """The first offset still in the log."""
        ...

    async def end(self, partition: int) -> int:
        """The offset the next record will get (for lag only; never to decide anything)."""
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group how far the store has come; for dashboards and autoscaling alone."""
        ...

    async def close(self) -> None: ...


class Log(Protocol):
    """Appends and opens consumers."""

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Returns once every message is durable, in the order given within a partition.

        Raises LogUnavailable when that is not certain (then some may be in the log, some not).
        """
        ...

    async def partitions(self, topic: str) -> int:
        """How many partitions `topic` has."""
        ...

    async def ends(self, topic: str) -> Mapping[int, int]:
        """The offset that the next record of each partition will get; for people who look, never to decide
        anything. Raises LogUnavailable."""
        ...

    async def consumer(self, topic: str, group: str) -> Consumer:
        """A new member of `group` reading `topic`."""
        ...

    async def check(self) -> None:
        """Raises LogUnavailable when the log does not answer (readiness)."""
        ...

    async def close(self) -> None: ...
