"""Keeps the embedded log from growing for ever: what every reader has read goes after some weeks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog
from sqlalchemy import func, select

from shared.clock import Clock
from shared.database import Database
from shared.errors import TransientError
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.log.embedded import EmbeddedLog
from shared.schema import positions

EVERY_SECONDS = 3600.0
_HOUR_US = 3600 * 1_000_000
_MICROSECOND = timedelta(microseconds=1)

READ_TOPICS = (TOPIC_EVENTS, TOPIC_TRIGGERS)
"""Topics with a reader that keeps its position; nothing of them goes before it was read."""

logger = structlog.get_logger(__name__)


async def every_hour(step: Callable[[], Awaitable[bool]], stop: asyncio.Event, not_done: str) -> None:
    """Steps until nothing is left, then again an hour later; what fails for now is tried again then."""
    while not stop.is_set():
        try:
            while await step() and not stop.is_set():
                continue
        except TransientError as error:
            logger.warning(not_done, reason=error.message)
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


class Retention:
    """Trims each topic of the embedded log to `hours`; Kafka does the same by itself."""

    def __init__(
        self,
        database: Database,
        log: EmbeddedLog,
        clock: Clock,
        *,
        hours: int,
        dead_letters: timedelta | None = None,
    ) -> None:
        """`dead_letters`: for how long those are kept, where it is not `hours`."""
        self._database = database
        self._log = log
        self._clock = clock
        self._keep_us = hours * _HOUR_US
        self._letters_keep_us = self._keep_us if dead_letters is None else dead_letters // _MICROSECOND

    async def run(self, stop: asyncio.Event) -> None:
        """Trims every hour until told to stop."""
        await every_hour(self.step, stop, "the log is not trimmed")

    async def step(self) -> bool:
        """Trims once; True if anything went."""
        now_us = self._clock.now_us()
        before_us = now_us - self._keep_us
        trimmed_count = 0
        for topic in READ_TOPICS:
            trimmed_count += await self._log.trim(topic, before_us, await self._read_until(topic))
        letters = {n: await self._log.end(TOPIC_DEAD_LETTERS, n) for n in await self._partitions()}
        trimmed_count += await self._log.trim(TOPIC_DEAD_LETTERS, now_us - self._letters_keep_us, letters)
        if trimmed_count:
            logger.info("old records trimmed", records=trimmed_count)
        return trimmed_count > 0

    async def _read_until(self, topic: str) -> Mapping[int, int]:
        """How far the slowest reader of each partition has come; one that nobody has read is left alone."""
        p = positions.c
        query = select(p.partition, func.min(p.next_offset)).where(p.topic == topic).group_by(p.partition)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def _partitions(self) -> range:
        return range(await self._log.partitions(TOPIC_DEAD_LETTERS))
