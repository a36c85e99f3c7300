"""The only reader of the wall clock: everything else takes `now` as an argument or a `Clock`."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time; passed in wherever a unit of work begins."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00Z."""
        ...


class SystemClock:
    """The machine's clock, in UTC."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


class ManualClock:
    """A clock that moves only when told to; for tests, backtests and simulations."""

    def __init__(self, at: datetime) -> None:
        self._us = to_us(at)

    def now_us(self) -> int:
        return self._us

    def set(self, at: datetime) -> None:
        self._us = to_us(at)

    def advance(self, by: timedelta) -> None:
        self._us += by // _MICROSECOND


def to_us(at: datetime) -> int:
    """Microseconds since the epoch of an aware datetime (exact; a naive one is refused)."""
    if at.tzinfo is None:
        raise ValueError("a datetime without a zone names no instant")
    return (at.astimezone(UTC) - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of `us` microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=us)


@lru_cache(4096)  # a cutoff is told of many customers
def rfc3339(us: int) -> str:
    """`us` as RFC 3339 in UTC, `2026-03-02T05:00:00Z`; a fraction only where there is one."""
    return from_us(us).isoformat().replace("+00:00", "Z")
