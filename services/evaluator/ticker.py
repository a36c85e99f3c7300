"""Puts time into the log: a small record with this evaluator's clock, to every partition that is ours.

The clock is read before sending, so everything acknowledged earlier lies before the tick. Two tickers on one
partition do no harm, and a late tick only delays.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from shared import failpoints
from shared.clock import Clock
from shared.errors import LogUnavailable
from shared.events import TOPIC_EVENTS, Tick, encode
from shared.log import Log, Message

APART_MIN_US = 500_000
"""However many customers become due, a partition is not told the time more often than this."""

WAIT_SECONDS_MAX = 1.0
_SECOND_US = 1_000_000

logger = structlog.get_logger(__name__)


class Ticker:
    """`awaiting()`: the partitions to be told the time, each with the instant somebody is due, or None."""

    def __init__(
        self,
        *,
        log: Log,
        clock: Clock,
        awaiting: Callable[[], Mapping[int, int | None]],
        every_seconds: float,
    ) -> None:
        self._log = log
        self._clock = clock
        self._awaiting = awaiting
        self._every_us = round(every_seconds * _SECOND_US)
        self._told_us: dict[int, int] = {}
        self._latest_us = 0
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why no time is told at the moment; None when all is well."""
        return self._problem

    async def run(self, stop: asyncio.Event) -> None:
        """Steps whenever somebody is due, until told to stop."""
        while not stop.is_set():
            await self.step()
            try:
                async with asyncio.timeout(self.wait_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """Tell the time where it is due; True if it was told anywhere."""
        now_us = self._clock.now_us()
        awaiting = self._awaiting()
        # A partition that is swept, or claimed anew, is remembered meanwhile: else it would be told the time
        # the moment it is back, however often that happens.
        self._told_us = {
            number: at_us
            for number, at_us in self._told_us.items()
            if number in awaiting or now_us - at_us < APART_MIN_US
        }
        if now_us < self._latest_us:
            self._note_set_back(self._latest_us - now_us)
            return False
        due = [n for n, due_us in awaiting.items() if self._next_us(n, due_us) <= now_us]
        return bool(due) and await self._tell(due, now_us)

    def wait_seconds(self) -> float:
        """Until the next partition is to be told the time; 1 second at the most, for new ones may come."""
        now_us = self._clock.now_us()
        instants = [self._next_us(number, due_us) for number, due_us in self._awaiting().items()]
        wait_us = min(instants, default=now_us + _SECOND_US) - now_us
        return min(max(wait_us / _SECOND_US, 0.001), WAIT_SECONDS_MAX)

    def _next_us(self, number: int, due_us: int | None) -> int:
        """When to tell a partition the time: in good measure, and right after somebody becomes due."""
        told_us = self._told_us.get(number)
        if told_us is None:
            return 0
        regular_us = told_us + self._every_us
        if due_us is None or due_us < told_us:
            return regular_us  # whoever was due before the last tick is judged by it
        return max(told_us + APART_MIN_US, min(regular_us, due_us + 1))

    async def _tell(self, numbers: list[int], now_us: int) -> bool:
        failpoints.hit("ticker.read")
        tick = encode(Tick(at_us=now_us))
        try:
            await self._log.append(TOPIC_EVENTS, [Message(value=tick, partition=n) for n in numbers])
        except LogUnavailable as error:
            self._note(error.message)
            return False
        failpoints.hit("ticker.sent")
        self._latest_us = now_us
        self._told_us.update(dict.fromkeys(numbers, now_us))
        self._note(None)
        return True

    def _note_set_back(self, by_us: int) -> None:
        # Less than a second is how clocks are kept right; time goes on by itself in a moment.
        if by_us >= _SECOND_US:
            self._note(f"the clock was set back by {by_us / _SECOND_US:.0f} s; no time is told until then")

    def _note(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            logger.warning("time stands still", reason=problem)
        self._problem = problem
