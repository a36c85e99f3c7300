"""The one database: opens it, begins transactions, and translates its errors into ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import StoreUnavailable

BUSY_TIMEOUT_MS = 10_000


class Database:
    """One engine. On SQLite writers take turns here, so that none waits inside the driver."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction: commits at the end, rolls back on any exception.

        Raises StoreUnavailable where the database does not answer; after a lost answer to COMMIT
        the caller cannot know which of the two happened and has to read before doing anything else.
        """
        if self.is_sqlite:
            async with self._writer, self._begin(self.engine) as connection:
                yield connection
        else:
            async with self._begin(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A reading transaction: one snapshot, no write lock."""
        async with self._begin(self.engine.execution_options(reads_only=True)) as connection:
            yield connection

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout, ConnectionError, OSError) as error:
            raise StoreUnavailable(f"the database does not answer: {_first_line(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreUnavailable(f"the database connection broke: {_first_line(error)}") from error
            raise

    async def close(self) -> None:
        await self.engine.dispose()


def open_sqlite(path: Path) -> Database:
    """The embedded store: WAL, every commit on disk, one writer at a time."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Any) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return Database(engine)


def open_postgres(url: str) -> Database:
    """`url` as operators write it, `postgresql://user:password@host/name`."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+asyncpg://" + url.removeprefix(prefix)
    return Database(create_async_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=4))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
