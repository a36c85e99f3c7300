"""What the embedded log does beyond the contract: group commit, retention, a disk that is full."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, insert

from shared.clock import ManualClock
from shared.database import Database, open_sqlite
from shared.errors import LogUnavailable
from shared.log import Message
from shared.log.embedded import EmbeddedLog
from shared.schema import metadata, positions
from tests.log_reading import read

TOPIC = "usage.events"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_sqlite(tmp_path / "usage.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def log(database: Database, clock: ManualClock) -> EmbeddedLog:
    return EmbeddedLog(database, clock)


def _message(value: object) -> Message:
    return Message(value=str(value).encode())


async def _stored_position(database: Database, reader: str, offset: int) -> None:
    row = {"reader": reader, "topic": TOPIC, "partition": 0, "next_offset": offset, "updated_us": 0}
    async with database.begin() as connection:
        await connection.execute(insert(positions).values(row))


async def _append_a_day_apart(log: EmbeddedLog, clock: ManualClock, count: int) -> None:
    """Offset 0 is appended at noon, each next one a day later."""
    for number in range(count):
        await log.append(TOPIC, [_message(number)])
        clock.advance(DAY)


def _us(at: datetime) -> int:
    return ManualClock(at).now_us()


async def _kept(log: EmbeddedLog) -> tuple[int, int]:
    return await log.beginning(TOPIC, 0), await log.end(TOPIC, 0)


async def test_many_appends_at_once_share_a_few_transactions(database: Database, log: EmbeddedLog) -> None:
    commits: list[object] = []
    event.listen(database.engine.sync_engine, "commit", commits.append)
    await asyncio.gather(*(log.append(TOPIC, [_message(n)]) for n in range(500)))
    assert await _kept(log) == (0, 500)
    assert len(commits) <= 6  # one for the first to come, one for those that came meanwhile, and the reads


async def test_what_is_old_goes_and_what_is_young_stays(log: EmbeddedLog, clock: ManualClock) -> None:
    await _append_a_day_apart(log, clock, 10)
    # Appended before noon of the fifth day later: offsets 0 to 4.
    assert await log.trim(TOPIC, _us(NOON + 5 * DAY), {0: 10}) == 5
    assert await _kept(log) == (5, 10)


@pytest.mark.parametrize(
    ("keep_from", "stored", "first_kept"),
    [
        ({0: 3}, {}, 3),
        ({0: 10}, {"evaluator": 4}, 4),
        ({0: 10}, {"evaluator": 7, "other": 2}, 2),
        ({}, {}, 0),
    ],
    ids=["not past the caller's", "not past a reader's", "not past the slowest reader's", "not unasked"],
)
async def test_what_somebody_has_yet_to_read_stays_however_old(
    database: Database,
    log: EmbeddedLog,
    clock: ManualClock,
    keep_from: Mapping[int, int],
    stored: Mapping[str, int],
    first_kept: int,
) -> None:
    await _append_a_day_apart(log, clock, 10)
    for reader, offset in stored.items():
        await _stored_position(database, reader, offset)
    await log.trim(TOPIC, _us(NOON + 365 * DAY), keep_from)
    assert await _kept(log) == (first_kept, 10)


async def test_offsets_and_times_go_on_after_everything_was_trimmed(
    database: Database, log: EmbeddedLog, clock: ManualClock
) -> None:
    await _append_a_day_apart(log, clock, 10)
    await _stored_position(database, "evaluator", 10)
    await log.trim(TOPIC, _us(NOON + 365 * DAY), {0: 10})
    assert await _kept(log) == (9, 10)  # the newest record stays: it knows where the next one goes
    yesterday = ManualClock(NOON - DAY)
    again = EmbeddedLog(database, yesterday)
    await again.append(TOPIC, [_message("after")])
    consumer = await again.consumer(TOPIC, "readers")
    consumer.seek(0, 9)
    records = await read(consumer, 2)
    assert [record.offset for record in records] == [9, 10]
    assert records[1].appended_us == records[0].appended_us == _us(NOON + 9 * DAY)


async def test_a_long_trim_gives_way_to_appends(
    database: Database, log: EmbeddedLog, clock: ManualClock
) -> None:
    await log.append(TOPIC, [_message(n) for n in range(50_000)])
    clock.advance(DAY)
    trimming = asyncio.create_task(log.trim(TOPIC, _us(NOON + DAY), {0: 50_000}))
    await log.append(TOPIC, [_message("meanwhile")])
    assert not trimming.done()
    assert await trimming == 50_000
    assert await _kept(log) == (50_000, 50_001)


async def test_ticks_alone_do_not_let_the_file_grow_for_ever(
    database: Database, log: EmbeddedLog, clock: ManualClock, tmp_path: Path
) -> None:
    sizes = []
    for _ in range(6):
        for _ in range(20):
            await log.append(TOPIC, [_message("tick" * 5)] * 864)  # a day has 17,280 at one in 5 s
        clock.advance(DAY)
        end = await log.end(TOPIC, 0)
        await log.trim(TOPIC, clock.now_us() - DAY // timedelta(microseconds=1), {0: end})
        sizes.append((tmp_path / "usage.db").stat().st_size)
    assert sizes[-1] < 1.5 * sizes[1]  # what a trim frees is used again; untrimmed it would be three times


async def test_a_full_disk_refuses_whole_appends_and_recovers_by_itself(
    database: Database, log: EmbeddedLog
) -> None:
    await log.append(TOPIC, [_message("before")])
    async with database.read() as connection:
        pages = await connection.exec_driver_sql("PRAGMA page_count")
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages.scalar_one()}")
    with pytest.raises(LogUnavailable, match="database or disk is full"):
        await log.append(TOPIC, [_message("x" * 1000) for _ in range(1000)])
    assert await _kept(log) == (0, 1)
    async with database.read() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    await log.append(TOPIC, [_message("after")])
    assert await _kept(log) == (0, 2)


async def test_a_file_that_cannot_be_written_is_unavailable_for_appends_alone(
    database: Database, log: EmbeddedLog
) -> None:
    await log.append(TOPIC, [_message("before")])
    async with database.read() as connection:
        await connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(LogUnavailable, match="readonly"):
        await log.append(TOPIC, [_message("refused")])
    assert await _kept(log) == (0, 1)


async def test_members_that_leave_give_their_partitions_back(database: Database, clock: ManualClock) -> None:
    log = EmbeddedLog(database, clock, partitions=3)
    first, second, third = [await log.consumer(TOPIC, "readers") for _ in range(3)]
    assert [sorted(c.assignment()) for c in (first, second, third)] == [[0], [1], [2]]
    await first.close()
    assert [sorted(c.assignment()) for c in (second, third)] == [[0, 2], [1]]
    await log.close()
    assert second.assignment() == third.assignment() == frozenset()
