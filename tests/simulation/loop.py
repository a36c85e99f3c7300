"""An asyncio event loop whose time is virtual: it jumps to the next timer, and nothing else makes it pass."""

import asyncio
from typing import Any

TURNS_MAX = 400_000
"""More turns than any healthy run takes; a run that comes to no rest ends here."""


class NoRest(Exception):
    """The run went on for longer than any healthy one does, or everybody waits for something for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became due; has no clock, no socket and no thread.

    `time()` is in seconds from 0. Raises NoRest out of `run_until_complete`.
    """

    def __init__(self, *, turns_max: int = TURNS_MAX) -> None:
        super().__init__()
        self._now = 0.0
        self._turns_left = turns_max
        # What the base class calls `select` on when nothing is ready; timers are told apart to a microsecond.
        self._selector = self
        self._clock_resolution = 1e-7

    def time(self) -> float:
        return self._now

    def wind_up(self) -> None:
        """Cancels what is still running and lets it end."""
        self._turns_left = TURNS_MAX
        while left := asyncio.all_tasks(self):
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.wait(left))

    def select(self, timeout: float | None) -> list[Any]:
        """Where another loop would wait for a socket or the next timer, time jumps."""
        self._turns_left -= 1
        if self._turns_left < 0:
            raise NoRest(f"still busy after so many turns, at {self._now:.0f} s")
        if timeout is None:
            raise NoRest(f"everybody waits for something that never comes, at {self._now:.0f} s")
        if timeout > 0:
            self._now = max(self._now + timeout, self._now)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""
