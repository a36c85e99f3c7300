"""Both databases, with every table and nothing in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared import schema
from shared.database import Database, open_postgres, open_sqlite
from tests.servers import PostgresServer


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with _with_tables(open_sqlite(tmp_path / "store.db")) as opened:
            yield opened
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = await server.create_database()
    try:
        async with _with_tables(open_postgres(url)) as opened:
            yield opened
    finally:
        await server.drop_database(url)


@asynccontextmanager
async def _with_tables(opened: Database) -> AsyncIterator[Database]:
    try:
        async with opened.begin() as connection:
            await connection.run_sync(schema.metadata.create_all)
        yield opened
    finally:
        await opened.close()
