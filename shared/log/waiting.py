"""What waits to be appended: bounded in bytes, each call acknowledged by itself."""

import asyncio
from collections.abc import Sequence

from shared.errors import LogUnavailable
from shared.log import Message

BYTES_WAITING_MAX = 64 * 1024 * 1024
MESSAGE_OVERHEAD_BYTES = 64
"""What a message costs beside its key and value, so that a flood of tiny ones is bounded too."""


class Room:
    """Counts the bytes that wait and refuses what does not fit: memory stays flat when the log is slow."""

    def __init__(self, bytes_max: int = BYTES_WAITING_MAX) -> None:
        self._bytes_max = bytes_max
        self.bytes_waiting = 0

    def take(self, size: int) -> None:
        """Make `size` bytes wait, or raise LogUnavailable; something may always wait where nothing does."""
        if self.bytes_waiting and self.bytes_waiting + size > self._bytes_max:
            raise LogUnavailable("the log is behind: too much is waiting to be written, try again shortly")
        self.bytes_waiting += size

    def give(self, size: int) -> None:
        """`size` bytes wait no longer."""
        self.bytes_waiting -= size


def size_of(messages: Sequence[Message]) -> int:
    """Roughly the bytes that `messages` take in memory."""
    return sum([len(m.value) + len(m.key or b"") for m in messages]) + MESSAGE_OVERHEAD_BYTES * len(messages)


async def acknowledged(future: asyncio.Future[None], timeout_seconds: float) -> None:
    """Wait until the log has it; LogUnavailable after the timeout, when nobody knows whether it has."""
    # asyncio.timeout would take longer than all else here: up to Python 3.11 it asks the system several times
    # which process this is.
    timer = future.get_loop().call_later(timeout_seconds, _give_up, future, timeout_seconds)
    try:
        await future
    finally:
        timer.cancel()


def _give_up(future: asyncio.Future[None], timeout_seconds: float) -> None:
    if not future.done():
        future.set_exception(LogUnavailable(f"the log did not acknowledge within {timeout_seconds:g} s"))
