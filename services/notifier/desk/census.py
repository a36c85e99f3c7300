"""Counts the tasks that are open, every few seconds, for whoever watches the metrics."""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.parts import NotifierParts
from services.notifier.rests import first_of
from services.notifier.tasks.lifecycle import DAY, LIVE_STATES, UNTOUCHED_STATES
from shared import schema
from shared.errors import TransientError
from shared.metrics import OLDEST_TASK_SECONDS, STOPS_HELD, TASKS_OPEN

log = structlog.get_logger()

EVERY_SECONDS = 5.0
_t = schema.tasks.c


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """The open tasks of a product in one state, how many of them are held, and when the oldest was opened."""

    product: str
    state: str
    task_count: int
    held_count: int
    oldest_us: int


class Census:
    """Sets the gauges; every instance counts the same tasks, so a graph takes the maximum and not the sum."""

    def __init__(self, parts: NotifierParts) -> None:
        self._parts = parts
        self._products: set[str] = set()

    async def step(self) -> bool:
        """Counts once; False, for there is never more to do at once."""
        async with self._parts.database.read() as connection:
            counts = await _counts(connection)
        self._products |= {count.product for count in counts}
        for product in self._products:
            _show(product, [c for c in counts if c.product == product], self._parts.clock.now_us())
        return False

    async def run(self, stop: asyncio.Event) -> None:
        """Counts until told to stop."""
        while not stop.is_set():
            try:
                await self.step()
            except TransientError as error:
                log.warning("open tasks are not counted for the moment", error=error.message)
            await first_of(stop, seconds_max=EVERY_SECONDS)


async def _counts(connection: AsyncConnection) -> list[Count]:
    is_held = and_(_t.held.is_not(None), _t.held.not_like(f"{DAY}%"))
    query = (
        select(_t.product, _t.state, func.count(), func.count().filter(is_held), func.min(_t.opened_us))
        .where(_t.closed_us.is_(None))
        .group_by(_t.product, _t.state)
    )
    return [
        Count(product=product, state=state, task_count=tasks, held_count=held, oldest_us=oldest_us)
        for product, state, tasks, held, oldest_us in await connection.execute(query)
    ]


def _show(product: str, counts: Sequence[Count], now_us: int) -> None:
    """One product's gauges; what is not there any more is shown as none, not as it last was."""
    by_state = {count.state: count.task_count for count in counts}
    for state in LIVE_STATES:
        TASKS_OPEN.labels(product, state).set(by_state.get(state, 0))
    STOPS_HELD.labels(product).set(sum(count.held_count for count in counts))
    untouched = [count.oldest_us for count in counts if count.state in UNTOUCHED_STATES]
    age_us = max(0, now_us - min(untouched)) if untouched else 0
    OLDEST_TASK_SECONDS.labels(product).set(age_us / 1_000_000)
