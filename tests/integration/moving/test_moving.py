"""From one process on SQLite to Kafka and PostgreSQL: nobody's days, calls or keys stay behind."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import func, insert, select

from deploy.migrations.upgrade import bring_up
from services.bootstrap import Assembly, Foundations, assemble
from services.foundations import embedded
from services.moving import move, read_to_the_end, require_embedded
from services.notifier.channels.http import Answer, Request
from shared.auth import KeyRing
from shared.clock import ManualClock
from shared.config import Config
from shared.database import Database, open_postgres, open_sqlite
from shared.errors import SetupError
from shared.partitioner import crc32_partition
from shared.schema import customers, excused_days, outbox, task_history, tasks
from shared.settings import Settings
from tests.fakes.log import MemoryLog
from tests.stepping import settle

PARTITION_COUNT = 4
CUSTOMERS = [f"c-{n}" for n in range(12)]
CONFIG = Config.model_validate(
    {
        "products": {
            "reserve": {
                "time_zone": "Asia/Tokyo",
                "guard": {"min_customers": 100},
                "rules": {
                    "usage-stopped": {
                        "kind": "absence",
                        "cutoff": "14:00",
                        "min_streak": 3,
                        "expect": "calendar",
                        "emit": "usage.stopped",
                    }
                },
                "playbooks": [{"on": "usage.stopped", "send": ["phone"]}],
            }
        },
        "channels": {
            "phone": {
                "kind": "webhook",
                "url": "https://phone.example/calls",
                "secret": "whsec_c2VjcmV0LW9mLXRoZS1waG9uZS10b29s",
                "timing": "at_once",
            }
        },
    }
)


class Receiver:
    """Takes every webhook and keeps it."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def send(self, request: Request) -> Answer:
        self.ids.append(request.headers["webhook-id"])
        return Answer(status=200)

    async def close(self) -> None:
        return


class Place:
    """The services on one pair of stores, stepped by hand on a clock that goes on from place to place."""

    def __init__(self, base: Foundations, clock: ManualClock, receiver: Receiver) -> None:
        self.base = msgspec.structs.replace(base, open_client=lambda _: receiver, random=random.Random(1))
        self._assembly: Assembly = assemble(self.base)
        self._clock = clock

    async def use(self, customer_ids: list[str], at: str, key: str) -> None:
        self._clock.set(datetime.fromisoformat(f"{at}+09:00"))
        items = [{"customer_id": customer_id} for customer_id in customer_ids]
        transport = httpx.ASGITransport(self._assembly.app)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as http:
            answer = await http.post("/v1/events", json=items)
        assert answer.json() == {"accepted": len(items), "rejected": []}

    async def time_is(self, at: str) -> None:
        self._clock.set(datetime.fromisoformat(f"{at}+09:00"))
        await self.settle()

    async def settle(self) -> None:
        await settle(self._assembly, self._clock)

    async def decide(self, at: str) -> None:
        """What is decided by then stays in the outbox: the process ends before it is handed out."""
        self._clock.set(datetime.fromisoformat(f"{at}+09:00"))
        for name in ("evaluator", "ticker", "evaluator"):
            await self._assembly.workers[name].step()

    async def close(self) -> None:
        """As their loops do when they end: they leave their groups."""
        for name in ("evaluator", "notifier"):
            worker: Any = self._assembly.workers[name]
            await worker.close()
        await self._assembly.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        database = open_sqlite(tmp_path / "target.sqlite3")
    else:
        server = request.getfixturevalue("postgres")
        url = await server.create_database()
        database = open_postgres(url)
    await bring_up(database)
    yield database
    await database.close()
    if request.param == "postgres":
        await server.drop_database(url)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"USAGE_TRIGGERS_DATA": tmp_path / "data"})


def new_log(clock: ManualClock) -> MemoryLog:
    return MemoryLog(clock, partitions=PARTITION_COUNT)


def in_new_place(base: Foundations, target: Database, log: MemoryLog) -> Foundations:
    return msgspec.structs.replace(
        base, database=target, log=log, keys=KeyRing(target, base.clock), upkeep={}
    )


async def test_a_habit_formed_here_is_missed_there_and_a_call_made_here_is_known_there(
    target: Database, clock: ManualClock, settings: Settings
) -> None:
    receiver, log = Receiver(), new_log(clock)
    async with embedded(CONFIG, settings, clock) as base:
        key = await base.keys.create("reserve")
        here = Place(base, clock, receiver)
        for day in (2, 3, 4):
            await here.use(CUSTOMERS, f"2026-03-{day:02d}T10:00:00", key)
            await here.settle()
        await here.use(CUSTOMERS[1:], "2026-03-05T10:00:00", key)
        await here.time_is("2026-03-05T14:16:00")
        assert len(receiver.ids) == 1, "the first customer's stop was told here"
        # Accepted, and not read by the time at which the process is told to stop.
        await here.use(CUSTOMERS[1:], "2026-03-06T10:00:00", key)
        await here.close()

        await read_to_the_end(base)
        counts = await move(base.database, target, log, clock, partition_of=crc32_partition)
        assert (counts["customers"], counts["tasks"], counts["api_keys"]) == (12, 1, 1)

        there = Place(in_new_place(base, target, log), clock, receiver)
        await there.time_is("2026-03-06T14:16:00")
        assert len(receiver.ids) == 1, "the unread uses came along, so nobody else has stopped"
        await there.use(CUSTOMERS[3:], "2026-03-07T10:00:00", key)
        await there.time_is("2026-03-07T14:16:00")
        await there.close()
    assert len(set(receiver.ids)) == len(receiver.ids) == 3, "two more, each once, and the first not again"


async def test_a_customer_is_where_the_new_log_will_put_the_customers_events(
    target: Database, clock: ManualClock, settings: Settings
) -> None:
    async with embedded(CONFIG, settings, clock) as base:
        await _lived(base, clock)
        async with base.database.begin() as connection:
            await connection.execute(
                insert(excused_days).values(partition=0, product="reserve", day="2026-03-01")
            )
        await move(base.database, target, new_log(clock), clock)
        async with target.read() as connection:
            owners = set((await connection.execute(select(customers.c.partition))).scalars())
            excused = (await connection.execute(select(excused_days.c.partition))).scalars().all()
    assert len(owners) > 1
    assert sorted(excused) == list(range(PARTITION_COUNT)), "every owner knows an outage of the product"


async def test_numbering_goes_on_after_what_came_along(
    target: Database, clock: ManualClock, settings: Settings
) -> None:
    async with embedded(CONFIG, settings, clock) as base:
        await _lived(base, clock)
        await move(base.database, target, new_log(clock), clock)
    async with target.begin() as connection:
        newest = await connection.scalar(select(func.max(task_history.c.seq)))
        row = {"task_id": "t", "at_us": 1, "actor": "a", "change": "c"}
        await connection.execute(insert(task_history).values(row))
        assert await connection.scalar(select(func.max(task_history.c.seq))) == newest + 1


async def test_a_database_that_holds_something_is_left_alone(
    target: Database, clock: ManualClock, settings: Settings
) -> None:
    await KeyRing(target, clock).create("reserve")
    async with embedded(CONFIG, settings, clock) as base:
        await _lived(base, clock)
        with pytest.raises(SetupError, match="already holds api_keys"):
            await move(base.database, target, new_log(clock), clock)
    async with target.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(customers)) == 0


async def test_what_is_not_handed_out_is_not_left_behind(clock: ManualClock, settings: Settings) -> None:
    unsent = select(func.count()).select_from(outbox).where(outbox.c.sent_us.is_(None))
    async with embedded(CONFIG, settings, clock) as base:
        await _lived(base, clock)
        place = Place(base, clock, Receiver())
        await place.decide("2026-03-06T14:16:00")  # the others are silent too, and nobody has been told yet
        await place.close()
        async with base.database.read() as connection:
            assert await connection.scalar(unsent) == len(CUSTOMERS) - 1
        await read_to_the_end(base)
        async with base.database.read() as connection:
            assert await connection.scalar(unsent) == 0
            assert await connection.scalar(select(func.count()).select_from(tasks)) == len(CUSTOMERS)


def test_a_directory_without_a_store_is_refused_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no usage-triggers"):
        require_embedded(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def _lived(base: Foundations, clock: ManualClock) -> None:
    """Three days of everybody's use, and a fourth on which the first customer stops."""
    key = await base.keys.create("reserve")
    place = Place(base, clock, Receiver())
    for day in (2, 3, 4):
        await place.use(CUSTOMERS, f"2026-03-{day:02d}T10:00:00", key)
        await place.settle()
    await place.use(CUSTOMERS[1:], "2026-03-05T10:00:00", key)
    await place.time_is("2026-03-05T14:16:00")
    await place.close()
