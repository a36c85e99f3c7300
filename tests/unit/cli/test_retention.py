"""The embedded log is trimmed by age, and never before its readers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from services.retention import Retention
from shared.clock import ManualClock
from shared.database import Database
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS
from shared.log import Message
from shared.log.embedded import EmbeddedLog
from shared.schema import positions

HOURS = 24 * 40


async def _read_up_to(database: Database, offset: int) -> None:
    row = {
        "reader": "evaluator",
        "topic": TOPIC_EVENTS,
        "partition": 0,
        "next_offset": offset,
        "updated_us": 0,
    }
    async with database.begin() as connection:
        await connection.execute(insert(positions).values(row))


@pytest.mark.parametrize(("read_count", "first_kept"), [(3, 3), (1, 1), (0, 0), (None, 0)])
async def test_what_is_old_goes_when_its_reader_has_read_it(
    database: Database, read_count: int | None, first_kept: int
) -> None:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    log = EmbeddedLog(database, clock)
    await log.append(TOPIC_EVENTS, [Message(value=b"old")] * 3)
    clock.advance(timedelta(hours=HOURS + 1))
    await log.append(TOPIC_EVENTS, [Message(value=b"young")])
    if read_count is not None:
        await _read_up_to(database, read_count)
    retention = Retention(database, log, clock, hours=HOURS)
    assert await retention.step() is (first_kept > 0)
    assert await log.beginning(TOPIC_EVENTS, 0) == first_kept
    await log.close()


async def test_dead_letters_go_by_age_alone_but_for_the_newest(database: Database) -> None:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    log = EmbeddedLog(database, clock)
    await log.append(TOPIC_DEAD_LETTERS, [Message(value=b"old")] * 3)
    clock.advance(timedelta(hours=HOURS + 1))
    await Retention(database, log, clock, hours=HOURS).step()
    assert await log.beginning(TOPIC_DEAD_LETTERS, 0) == 2
    await log.close()


async def test_dead_letters_may_have_a_time_of_their_own(database: Database) -> None:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    log = EmbeddedLog(database, clock)
    await log.append(TOPIC_DEAD_LETTERS, [Message(value=b"old")] * 3)
    clock.advance(timedelta(days=2))
    retention = Retention(database, log, clock, hours=HOURS, dead_letters=timedelta(days=1))
    assert await retention.step()
    assert await log.beginning(TOPIC_DEAD_LETTERS, 0) == 2
    await log.close()


async def test_it_ends_when_it_is_told_to(database: Database) -> None:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    log = EmbeddedLog(database, clock)
    stop = asyncio.Event()
    running = asyncio.create_task(Retention(database, log, clock, hours=HOURS).run(stop))
    stop.set()
    async with asyncio.timeout(5):
        await running
    await log.close()
