"""Lets go of what is over: closed tasks and triggers long told, as the configuration's `retention` has it."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.retention import every_hour
from shared.clock import Clock
from shared.config import RetentionSection
from shared.database import Database
from shared.erasure import delete_tasks
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS
from shared.schema import outbox, tasks

ROWS_PER_STEP_MAX = 500
"""So many of each go in one transaction, so that nobody waits for long."""

_MICROSECOND = timedelta(microseconds=1)

logger = structlog.get_logger(__name__)


class Pruning:
    """Deletes, every hour, what was over before its time; two that do so at once do no harm.

    Nothing goes that a record in the log, which keeps them for `log_hours`, could still ask for: a reader
    that lags would take the trigger of a call for one of an erased customer.
    """

    def __init__(
        self, database: Database, clock: Clock, retention: RetentionSection, *, log_hours: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        self._log_hours = timedelta(hours=log_hours)

    async def run(self, stop: asyncio.Event) -> None:
        """Prunes until told to stop."""
        await every_hour(self.step, stop, "nothing is pruned")

    async def step(self) -> bool:
        """Prunes some of each kind; True if anything went. Raises StoreUnavailable."""
        now_us = self._clock.now_us()
        gone: dict[str, int] = {}
        if (kept := self._retention.tasks) is not None:
            gone["tasks"] = await self._prune_tasks(now_us - self._us(kept))
        if (kept := self._retention.triggers) is not None:
            gone["triggers"] = await self._prune_told(TOPIC_TRIGGERS, now_us - self._us(kept))
        if (kept := self._retention.dead_letters) is not None:
            gone["dead_letters"] = await self._prune_told(TOPIC_DEAD_LETTERS, now_us - kept // _MICROSECOND)
        if any(gone.values()):
            logger.info("what is over is let go of", **gone)
        return any(gone.values())

    def _us(self, kept: timedelta) -> int:
        return max(kept, self._log_hours) // _MICROSECOND

    async def _prune_tasks(self, before_us: int) -> int:
        query = select(tasks.c.id).where(tasks.c.closed_us < before_us).limit(ROWS_PER_STEP_MAX)
        async with self._database.begin() as connection:
            task_ids = list((await connection.execute(query)).scalars())
            return await delete_tasks(connection, task_ids) if task_ids else 0

    async def _prune_told(self, topic: str, before_us: int) -> int:
        async with self._database.begin() as connection:
            return await _delete_told(connection, topic, before_us)


async def _delete_told(connection: AsyncConnection, topic: str, before_us: int) -> int:
    """Rows of the outbox that the log has; what could not be sent yet waits, however old it is."""
    old = (
        select(outbox.c.seq)
        .where(outbox.c.topic == topic, outbox.c.created_us < before_us, outbox.c.sent_us.is_not(None))
        .limit(ROWS_PER_STEP_MAX)
    )
    return (await connection.execute(delete(outbox).where(outbox.c.seq.in_(old)))).rowcount
