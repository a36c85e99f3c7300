"""F25: a migration killed half-way, run twice at once, and old and new code side by side."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from shared.database import Database, open_postgres, open_sqlite
from shared.failpoints import VARIABLE
from shared.schema import metadata
from tests.faults.conftest import OpenPlace
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.verdict import check
from tests.servers import PostgresServer

AT_ONCE = 4
SECONDS_MAX = 60.0
NEWER = "9999"


@pytest.fixture(params=["sqlite", "postgres"])
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a directory, or a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "data")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return await server.create_database()


@pytest.mark.parametrize("point", ["schema.begun", "schema.written"])
async def test_a_migration_killed_half_way_leaves_nothing_and_is_run_again(address: str, point: str) -> None:
    assert await _migrate(address, **{VARIABLE: f"{point}:1"}) == -signal.SIGKILL
    assert await _tables(address) == set()
    assert await _migrate(address) == 0
    assert await _tables(address) >= set(metadata.tables)


async def test_migrations_at_once_wait_for_one_another(address: str) -> None:
    assert await asyncio.gather(*(_migrate(address) for _ in range(AT_ONCE))) == [0] * AT_ONCE
    assert await _tables(address) >= set(metadata.tables)


async def test_a_schema_newer_than_the_program_does_not_stop_it(open_place: OpenPlace) -> None:
    """While a release is rolled out, an instance of the old one may have to start again."""
    place = await open_place()
    key = await place.make_key()
    async with place.database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": NEWER})
    old = await place.start()
    async with Poster(key) as poster:
        await play(place, poster, old, 1)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=old))


async def _migrate(address: str, **environment: str) -> int:
    """The command, to its end; its status."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "migrate"),
        env={"PATH": os.environ["PATH"], **_where(address), **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _where(address: str) -> Mapping[str, str]:
    if address.startswith("postgres"):
        return {"DATABASE_URL": address, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    return {"USAGE_TRIGGERS_DATA": address}


async def _tables(address: str) -> set[str]:
    database = _open(address)
    try:
        async with database.read() as connection:
            return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    finally:
        await database.close()


def _open(address: str) -> Database:
    if address.startswith("postgres"):
        return open_postgres(address)
    return open_sqlite(Path(address) / "usage-triggers.sqlite3")
