"""Bringing the schema up: to what the program expects, once, and from half-way again."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from deploy import migrations
from deploy.migrations.upgrade import HEAD, bring_up, is_current
from shared.database import Database, open_postgres, open_sqlite
from shared.failpoints import VARIABLE
from shared.schema import metadata
from tests.servers import PostgresServer

REPOSITORY = Path(__file__).parents[2]
DIRECTORY = Path(migrations.__file__).parent
SECONDS_MAX = 60
BRING_UP = """
import asyncio, pathlib, sys
from deploy.migrations.upgrade import bring_up
from shared.database import open_postgres, open_sqlite
address = sys.argv[1]
database = open_postgres(address) if "://" in address else open_sqlite(pathlib.Path(address))
async def main():
    try:
        await bring_up(database)
    finally:
        await database.close()
asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "schema.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = await server.create_database()
    yield url
    await server.drop_database(url)


def opened(address: str) -> Database:
    return open_postgres(address) if "://" in address else open_sqlite(Path(address))


@pytest.fixture
async def database(address: str) -> AsyncIterator[Database]:
    database = opened(address)
    yield database
    await database.close()


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": False})
    return list(compare_metadata(context, metadata))


async def test_an_empty_database_becomes_what_the_program_expects(database: Database) -> None:
    assert not await is_current(database)
    assert await bring_up(database)
    assert await is_current(database)
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_second_time_there_is_nothing_to_do(database: Database) -> None:
    await bring_up(database)
    assert not await bring_up(database)


async def test_many_at_once_bring_it_up_together(address: str) -> None:
    databases = [opened(address) for _ in range(6)]
    changed = await asyncio.gather(*(bring_up(database) for database in databases))
    assert sorted(changed) == [False] * 5 + [True]
    for database in databases:
        await database.close()


async def test_a_schema_newer_than_the_program_is_left_alone(database: Database) -> None:
    await bring_up(database)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert await is_current(database)
    assert not await bring_up(database)
    async with database.read() as connection:
        assert (
            await connection.execute(text("SELECT version_num FROM alembic_version"))
        ).scalar_one() == "9999"


@pytest.mark.parametrize("place", ["schema.begun", "schema.written"])
async def test_killed_half_way_it_leaves_nothing_and_is_done_anew(
    address: str, database: Database, place: str
) -> None:
    command = [sys.executable, "-c", BRING_UP, address]
    environment = {**os.environ, VARIABLE: f"{place}:1"}
    killed = await asyncio.to_thread(
        subprocess.run, command, cwd=REPOSITORY, env=environment, timeout=SECONDS_MAX, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    async with database.read() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
    assert await bring_up(database)
    assert await is_current(database)


def test_the_program_s_revision_is_the_newest_there_is() -> None:
    scripts = ScriptDirectory(str(DIRECTORY))
    assert scripts.get_current_head() == HEAD
    assert all(re.fullmatch("[0-9]{4}", script.revision) for script in scripts.walk_revisions())


def test_a_start_on_a_current_schema_does_not_wait_for_alembic(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        f"{BRING_UP}\nassert 'alembic' not in sys.modules",
        str(tmp_path / "s.db"),
    ]
    first = subprocess.run(command, cwd=REPOSITORY, timeout=SECONDS_MAX, check=False, capture_output=True)
    assert first.returncode == 1  # it had to be imported, to make the schema
    second = subprocess.run(command, cwd=REPOSITORY, timeout=SECONDS_MAX, check=False, capture_output=True)
    assert second.returncode == 0, second.stderr
