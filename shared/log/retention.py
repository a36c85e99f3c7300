"""Keeps the embedded log from growing for ever: once an hour, what is old and read goes."""

import asyncio
import logging
from datetime import timedelta

from sqlalchemy import func, select

from shared.clock import Clock
from shared.database import Database
from shared.errors import TransientError
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.log.embedded import EmbeddedLog
from shared.schema import positions

EVERY_SECONDS = 3600.0
_MICROSECOND = timedelta(microseconds=1)

_log = logging.getLogger(__name__)


class Retention:
    """Trims what is older than `keep`; of a topic that is read, only what its readers have stored as read."""

    def __init__(self, log: EmbeddedLog, database: Database, clock: Clock, *, keep: timedelta) -> None:
        self._log = log
        self._database = database
        self._clock = clock
        self._keep_us = keep // _MICROSECOND

    async def step(self) -> bool:
        """One trim of every topic; True if anything went. Raises StoreUnavailable, LogUnavailable."""
        before_us = self._clock.now_us() - self._keep_us
        trimmed_count = 0
        for topic in (TOPIC_EVENTS, TOPIC_TRIGGERS):
            trimmed_count += await self._log.trim(topic, before_us, await self._read_up_to(topic))
        # Nobody reads dead letters by position: they are looked at, and replayed by id.
        ends = range(await self._log.partitions(TOPIC_DEAD_LETTERS))
        unread = {partition: await self._log.end(TOPIC_DEAD_LETTERS, partition) for partition in ends}
        trimmed_count += await self._log.trim(TOPIC_DEAD_LETTERS, before_us, unread)
        return trimmed_count > 0

    async def run(self, stop: asyncio.Event) -> None:
        """`step` at once and every hour, until `stop`; what fails for now is tried again an hour later."""
        while not stop.is_set():
            try:
                await self.step()
            except TransientError as error:
                _log.warning("nothing trimmed for now: %s", error.message)
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _read_up_to(self, topic: str) -> dict[int, int]:
        """A partition without a stored position is missing: its reader has yet to start, and needs all."""
        slowest = select(positions.c.partition, func.min(positions.c.next_offset).label("offset"))
        query = slowest.where(positions.c.topic == topic).group_by(positions.c.partition)
        async with self._database.read() as connection:
            return {row.partition: row.offset for row in await connection.execute(query)}
