"""The one database: opens it, begins transactions, and translates its errors into ours."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import SetupError, StoreUnavailable, UsageTriggersError

BUSY_TIMEOUT_MS = 10_000
CONNECT_SECONDS_MAX = 10
STATEMENT_SECONDS_MAX = 60
LOCK_SECONDS_MAX = 10
IDLE_IN_TRANSACTION_SECONDS_MAX = 15
"""A frozen or cut-off client holds its rows no longer than this; then the server ends its transaction."""

_TRANSIENT_SQLSTATES = ("08", "40", "53", "57", "55P03", "25006", "25P03", "58030")
"""Connection lost, deadlock, no room, shut down, lock not had, read only after a failover, I/O error."""
_SETUP_SQLSTATES = ("28", "3D000")  # wrong password, no such database
_TRANSIENT_SQLITE_CODES = frozenset({5, 6, 7, 8, 10, 13, 14, 15})  # busy .. full, cannot open, protocol
_DAMAGED_SQLITE_CODES = frozenset({11, 26})


class Database:
    """One engine. On SQLite writers take turns here, so that none waits inside the driver."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = asyncio.Lock()
        options = (
            {"reads_only": True}
            if self.is_sqlite
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        self._reading = engine.execution_options(**options)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction: commits at the end, rolls back on any exception.

        Raises StoreUnavailable where the database does not answer; after a lost answer to COMMIT
        the caller cannot know which of the two happened and has to read before doing anything else.
        """
        if self.is_sqlite:
            async with self._writer, _begin(self.engine) as connection:
                yield connection
        else:
            async with _begin(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A reading transaction: one snapshot, no write lock."""
        async with _begin(self._reading) as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def _begin(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.begin() as connection:
            yield connection
    except Exception as error:
        ours = translated(error)
        if ours is None:
            raise
        raise ours from error


def translated(error: Exception) -> UsageTriggersError | None:
    """Our error for a database's; None for what is not the database's fault: a bug, or an error of ours."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = str(getattr(cause, "sqlstate", None) or "")
    sqlite_code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if sqlstate.startswith(_SETUP_SQLSTATES):
        return SetupError(f"the database refuses us: {_first_line(cause)}")
    if sqlite_code in _DAMAGED_SQLITE_CODES:
        return SetupError(f"the database file is damaged, restore it from a backup: {_first_line(cause)}")
    is_transient = (
        sqlstate.startswith(_TRANSIENT_SQLSTATES)
        or sqlite_code in _TRANSIENT_SQLITE_CODES
        or isinstance(error, PoolTimeout | InterfaceError | OSError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
    )
    return StoreUnavailable(f"the database does not answer: {_first_line(cause)}") if is_transient else None


def open_sqlite(path: Path) -> Database:
    """The embedded store: WAL, every commit on disk, one writer at a time."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)

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
    """`url` as operators write it, `postgresql://user:password@host/name?sslmode=require`.

    Raises SetupError for what is no such URL; nothing is connected yet.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise SetupError("DATABASE_URL is no URL such as postgresql://user:password@host/name") from error
    if not address.drivername.startswith("postgres"):
        raise SetupError(f"DATABASE_URL names {address.drivername!r}; only postgresql:// is supported")
    engine = create_async_engine(
        address.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode", "sslrootcert"]),
        hide_parameters=True,  # what a fault prints would hold profiles, hashes and tokens
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=4,
        pool_timeout=CONNECT_SECONDS_MAX,
        connect_args={
            "timeout": CONNECT_SECONDS_MAX,
            # A little more than the server's own limits: then it is the server that says what was wrong.
            "command_timeout": STATEMENT_SECONDS_MAX + 5,
            "server_settings": {
                "application_name": "usage-triggers",
                "statement_timeout": f"{STATEMENT_SECONDS_MAX}s",
                "lock_timeout": f"{LOCK_SECONDS_MAX}s",
                "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS_MAX}s",
                "tcp_user_timeout": f"{IDLE_IN_TRANSACTION_SECONDS_MAX}s",
            },
            **_tls(address),
        },
    )
    return Database(engine)


def _tls(address: URL) -> dict[str, Any]:
    """asyncpg's form of libpq's `sslmode` and `sslrootcert`, which its URL does not take through us."""
    mode = address.query.get("sslmode")
    root = address.query.get("sslrootcert")
    if mode in ("verify-ca", "verify-full") and isinstance(root, str):
        context = ssl.create_default_context(cafile=root)
        context.check_hostname = mode == "verify-full"
        return {"ssl": context}
    return {"ssl": mode} if mode else {}


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
