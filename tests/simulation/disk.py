"""The database of a run: a real SQLite file under the real stores, reached over connections that can fail.

The stores are given what looks like an `AsyncConnection`, without aiosqlite's threads: each statement is
an exchange of the machine it runs on, and then SQLAlchemy's own. One writer at a time, as SQLite has it;
the wait for the write lock, the server that ends the transaction of a client it has not heard of, and the
lost answer to COMMIT are simulated (decision record 0061).
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, NullPool, Update, create_engine

from shared.database import Database, translated
from shared.schema import metadata, positions
from tests.simulation.machine import Machine

LOCK_SECONDS_MAX = 10.0
IDLE_IN_TRANSACTION_SECONDS_MAX = 15.0
_BUSY, _IO_ERROR, _CANNOT_OPEN = 5, 10, 14


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Disk:
    """One database file and its faults; `on_commit` are told which machine has written."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.is_away = False
        self.commit_share = 0.0
        self.on_commit: list[Callable[[Machine], None]] = []
        self.violations: list[str] = []
        self._places: dict[tuple[str, int], int] = {}
        self.random = random
        self._path = directory / "simulated.db"
        shutil.copyfile(_template(), self._path)
        self._free: list[Connection] = []
        self._made: list[Connection] = []
        self._open: list[SimConnection] = []
        self._writer: SimConnection | None = None
        self._waiting: deque[tuple[SimConnection, asyncio.Future[None]]] = deque()
        self._observer = _raw(self._connect())

    def database(self, machine: Machine) -> Database:
        """The database as one machine sees it."""
        return SimDatabase(self, machine)

    def look(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is committed, without any machine's help; for schedules and checks."""
        return self._observer.execute(query, values).fetchall()

    def close(self) -> None:
        for made in self._made:
            made.close()

    def committed(self, connection: "SimConnection") -> None:
        """What has to hold after every single commit: a position never goes back, and whoever has found that
        somebody else moved one has written nothing."""
        for reader, partition, offset in self.look("SELECT reader, partition, next_offset FROM positions"):
            if offset < self._places.get((reader, partition), 0):
                was = self._places[reader, partition]
                self.violations.append(f"{reader} partition {partition} went back from {was} to {offset}")
            self._places[reader, partition] = offset
        if connection.was_fenced:
            self.violations.append(f"{connection.machine.name} has committed a batch that was fenced off")
        for tell in self.on_commit:
            tell(connection.machine)

    def abandon(self, machine: Machine) -> None:
        """The machine is dead: its transactions are rolled back."""
        for connection in [c for c in self._open if c.machine is machine]:
            connection.break_off()

    # For connections

    def take(self) -> Connection:
        return self._free.pop() if self._free else self._connect()

    def put_back(self, connection: "SimConnection", free: Connection) -> None:
        self._free.append(free)
        self._open.remove(connection)

    def opened(self, connection: "SimConnection") -> None:
        self._open.append(connection)

    async def lock(self, connection: "SimConnection") -> None:
        """The one write lock; raises as SQLite does when it cannot be had in time."""
        if self._writer is None:
            self._writer = connection
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((connection, turn))
        try:
            async with asyncio.timeout(LOCK_SECONDS_MAX):
                await turn
        except TimeoutError as error:
            raise _error("database is locked", _BUSY) from error

    def unlock(self, connection: "SimConnection") -> None:
        if self._writer is not connection:
            return
        self._writer = None
        while self._waiting:
            following, turn = self._waiting.popleft()
            if not turn.done() and not following.is_broken:
                self._writer = following
                turn.set_result(None)
                return

    def _connect(self) -> Connection:
        # SQLAlchemy begins and commits nothing by itself here: where that is done, it may fail.
        _PATH.set(self._path)
        made = _engine().connect()
        _raw(made).execute("PRAGMA synchronous=OFF")
        self._made.append(made)
        return made


class SimDatabase(Database):
    """Takes the place of shared.database.Database on one machine."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        self.is_sqlite = True
        self._disk = disk
        self._machine = machine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        async with self._transaction("BEGIN") as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator["SimConnection"]:
        connection = SimConnection(self._disk, self._machine)
        try:
            await connection.begin(begin)
            yield connection
            await connection.commit()
        except Exception as error:
            ours = translated(error)
            if ours is None:
                raise
            raise ours from error
        finally:
            connection.close()

    async def close(self) -> None:
        """There is no pool."""


class SimConnection:
    """What the stores take for an AsyncConnection; one transaction long."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        self.machine = machine
        self.is_broken = False
        self._disk = disk
        self._inner = disk.take()
        self._raw = _raw(self._inner)
        self._is_writer = False
        self._is_open = True
        self.was_fenced = False
        self.dialect = self._inner.dialect
        disk.opened(self)

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        await self.machine.io(type(statement).__name__)
        result = self._usable().execute(statement, parameters)
        if isinstance(statement, Update) and statement.table is positions and result.rowcount == 0:
            self.was_fenced = True
        return result

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> CursorResult[Any]:
        await self.machine.io(statement.lstrip()[:30])
        return self._usable().exec_driver_sql(statement, parameters)

    async def begin(self, statement: str) -> None:
        await self.machine.io(statement)
        self._usable()
        if statement != "BEGIN":
            await self._disk.lock(self)
            self._is_writer = True
            self._usable()
            asyncio.get_running_loop().call_later(IDLE_IN_TRANSACTION_SECONDS_MAX, self._end_if_unheard)
        self._raw.execute(statement)

    async def commit(self) -> None:
        if not self._is_writer:
            return
        await self.machine.io("commit")
        self._usable()
        random = self._disk.random
        is_lost = random.random() < self._disk.commit_share
        if is_lost and random.random() < 0.5:
            raise _error("disk I/O error before the commit", _IO_ERROR)
        self._raw.execute("COMMIT")
        self._unlock()
        self._disk.committed(self)
        if is_lost:
            raise _error("disk I/O error: who knows whether it is committed", _IO_ERROR)
        await self.machine.io("committed")

    def break_off(self) -> None:
        """The connection is lost, and with it what was not committed."""
        self.is_broken = True
        self._roll_back()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._roll_back()
            self._disk.put_back(self, self._inner)

    def _roll_back(self) -> None:
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        self._unlock()

    def _unlock(self) -> None:
        self._is_writer = False
        self._disk.unlock(self)

    def _usable(self) -> Connection:
        if self.is_broken:
            raise _error("disk I/O error: the connection is lost", _IO_ERROR)
        if self._disk.is_away:
            self.break_off()
            raise _error("unable to open database file", _CANNOT_OPEN)
        return self._inner

    def _end_if_unheard(self) -> None:
        if not self._is_writer or self.is_broken:
            return
        if self.machine.is_frozen:
            self.break_off()
        else:
            asyncio.get_running_loop().call_later(IDLE_IN_TRANSACTION_SECONDS_MAX, self._end_if_unheard)


_PATH: ContextVar[Path] = ContextVar("_PATH")


@cache
def _engine() -> Engine:
    """One engine for all runs of a process, so that each statement is compiled once."""
    return create_engine(
        "sqlite://",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        creator=lambda: sqlite3.connect(_PATH.get(), isolation_level=None, cached_statements=512),
    )


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


@cache
def _template() -> Path:
    """An empty database with its schema, in memory's own file system where there is one."""
    path = scratch() / "template.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        metadata.create_all(connection)
    engine.dispose()
    return path


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="simulation-", dir=memory if memory.is_dir() else None)


def scratch() -> Path:
    """A directory that goes with this process."""
    return Path(_scratch().name)
