"""Keeps the embedded log from growing for ever: once an hour, what is old and read goes."""

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from shared.clock import Clock
from shared.database import Database
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.log.embedded import EmbeddedLog
from shared.schema import positions

EVERY_SECONDS = 3600.0
_MICROSECOND = timedelta(microseconds=1)


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
        """`step` at once and every hour, until `stop`."""
        while not stop.is_set():
            await self.step()
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _read_up_to(self, topic: str) -> dict[int, int]:
        """Partitions without a stored position are missing: a reader that has yet to start needs all of it."""
        slowest = select(positions.c.partition, func.min(positions.c.next_offset).label("offset"))
        query = slowest.where(positions.c.topic == topic).group_by(positions.c.partition)
        async with self._database.read() as connection:
            return {row.partition: row.offset for row in await connection.execute(query)}
