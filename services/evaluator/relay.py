"""Sends what the outbox holds: appended to its topic first, marked sent once the log has acknowledged it.

An evaluator relays the partitions that it reads, so one customer's triggers keep their order. While a
partition changes hands two may relay it: then a row is sent twice, with the same id.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog

from services.evaluator.changes import UnsentRow
from services.evaluator.store import EvaluatorStore
from shared import failpoints
from shared.clock import Clock
from shared.errors import LogUnavailable, StoreUnavailable
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS, record_key
from shared.log import Log, Message

ROWS_MAX = 500
LOOK_EVERY_SECONDS = 1.0
"""How soon a row is found that nobody called for: one that another evaluator left behind."""

_TOPICS = (TOPIC_TRIGGERS, TOPIC_DEAD_LETTERS)

logger = structlog.get_logger(__name__)


class Relay:
    """`partitions()` are those whose outbox is ours; `wake()` says that there is something in it."""

    def __init__(
        self,
        *,
        store: EvaluatorStore,
        log: Log,
        clock: Clock,
        partitions: Callable[[], Collection[int]],
        rows_max: int = ROWS_MAX,
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._partitions = partitions
        self._rows_max = rows_max
        self._news = asyncio.Event()
        self._problem: str | None = None

    def wake(self) -> None:
        """There may be something to send: do not wait for the next look."""
        self._news.set()

    def problem(self) -> str | None:
        """Why nothing is sent at the moment; None when all is well."""
        return self._problem

    async def run(self, stop: asyncio.Event) -> None:
        """Steps until told to stop; between two looks it waits to be woken."""
        while not stop.is_set():
            self._news.clear()
            if not await self.step():
                await self._wait(stop)

    async def step(self) -> bool:
        """Send one batch of each topic; True if anything was sent."""
        sent_count = 0
        problem = None
        for topic in _TOPICS:
            # One topic that cannot be written must not keep the other waiting.
            try:
                sent_count += await self._send_some(topic)
            except (LogUnavailable, StoreUnavailable) as error:
                problem = error.message
        self._note(problem)
        return sent_count > 0

    async def _send_some(self, topic: str) -> int:
        rows = await self._store.unsent(topic, self._partitions(), rows_max=self._rows_max)
        if not rows:
            return 0
        failpoints.hit("relay.read")
        await self._log.append(topic, [_message(row) for row in rows])
        failpoints.hit("relay.appended")
        await self._store.mark_sent([row.seq for row in rows], now_us=self._clock.now_us())
        failpoints.hit("relay.marked")
        return len(rows)

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until woken, told to stop, or the next look; a wake in vain while the log is away costs nothing."""
        news = asyncio.ensure_future(self._news.wait())
        stopped = asyncio.ensure_future(stop.wait())
        waiting = {stopped} if self._problem else {news, stopped}
        await asyncio.wait(waiting, timeout=LOOK_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, stopped):
            task.cancel()
        await asyncio.gather(news, stopped, return_exceptions=True)

    def _note(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            logger.warning("the relay waits", reason=problem)
        self._problem = problem


def _message(row: UnsentRow) -> Message:
    key = record_key(row.product, row.customer_id)
    return Message(value=row.value, key=key, traceparent=row.traceparent)
