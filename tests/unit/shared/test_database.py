"""The database's faults are told from ours, and each is transient or somebody's to mend."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.database import Database, open_postgres, open_sqlite, translated
from shared.errors import Fenced, SetupError, StoreUnavailable, UsageTriggersError


class _FromServer(Exception):
    """An error as drivers of PostgreSQL give it."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("the server's words\nand more of them")
        self.sqlstate = sqlstate


def _sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk\nfull")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08006", StoreUnavailable),  # connection failure
        ("40P01", StoreUnavailable),  # deadlock
        ("53100", StoreUnavailable),  # disk full
        ("53300", StoreUnavailable),  # too many connections
        ("55P03", StoreUnavailable),  # lock not available
        ("57014", StoreUnavailable),  # cancelled by statement_timeout
        ("57P01", StoreUnavailable),  # shut down by an administrator
        ("57P03", StoreUnavailable),  # starting up
        ("25006", StoreUnavailable),  # read only: a failover happened
        ("25P03", StoreUnavailable),  # idle in transaction for too long
        ("28P01", SetupError),  # wrong password
        ("3D000", SetupError),  # no such database
        ("42P01", None),  # no such table: ours to mend
        ("23505", None),  # a constraint
    ],
)
def test_the_server_s_codes(sqlstate: str, kind: type[UsageTriggersError] | None) -> None:
    raw = _FromServer(sqlstate)
    for error in (raw, DBAPIError("SELECT 1", {}, raw)):
        found = translated(error)
        assert type(found) is (kind or type(None))
        assert found is None or "\n" not in found.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreUnavailable),
        (sqlite3.SQLITE_FULL, StoreUnavailable),
        (
            sqlite3.SQLITE_IOERR | 12 << 8,
            StoreUnavailable,
        ),  # an extended code keeps its family in the low byte
        (sqlite3.SQLITE_READONLY, StoreUnavailable),
        (sqlite3.SQLITE_CORRUPT, SetupError),
        (sqlite3.SQLITE_NOTADB, SetupError),
        (sqlite3.SQLITE_ERROR, None),
        (sqlite3.SQLITE_CONSTRAINT, None),
    ],
)
def test_the_file_s_codes(code: int, kind: type[UsageTriggersError] | None) -> None:
    found = translated(OperationalError("SELECT 1", {}, _sqlite_error(code)))
    assert type(found) is (kind or type(None))


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), PoolTimeout(), OSError("x")])
def test_no_connection_is_transient(error: Exception) -> None:
    assert isinstance(translated(error), StoreUnavailable)


def test_a_broken_connection_is_transient_whatever_it_says() -> None:
    error = DBAPIError("COMMIT", {}, Exception("gone"), connection_invalidated=True)
    assert isinstance(translated(error), StoreUnavailable)


@pytest.mark.parametrize("error", [ValueError("x"), Fenced("x"), KeyError("x")])
def test_what_is_not_the_database_s_stays_what_it_is(error: Exception) -> None:
    assert translated(error) is None


async def test_a_statement_that_is_wrong_is_our_bug_not_an_outage(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "d.db")
    with pytest.raises(OperationalError, match="no such table"):
        async with database.begin() as connection:
            await connection.execute(text("SELECT * FROM missing_table"))
    await database.close()


async def replace_all_by(database: Database, *numbers: int) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM t"))
        for n in numbers:
            await connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})


async def test_an_exception_rolls_everything_back_and_writers_take_turns(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "d.db")
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)"))

    async def insert(n: int) -> None:
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})

    await asyncio.gather(*(insert(n) for n in range(20)))
    with pytest.raises(IntegrityError):
        await replace_all_by(database, 1, 1)
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 20
    await database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [("mysql://u:secret@h/d", "only postgresql:// is supported"), ("not a url", "no URL such as")],
)
def test_an_address_that_is_none_of_ours_is_refused_without_showing_it(url: str, message: str) -> None:
    with pytest.raises(SetupError, match=message) as caught:
        open_postgres(url)
    assert "secret" not in caught.value.message


def test_an_address_is_taken_as_operators_write_it() -> None:
    database = open_postgres("postgres://u:p@h:5/d?sslmode=require")
    assert database.engine.url.drivername == "postgresql+asyncpg"
    assert dict(database.engine.url.query) == {}


async def test_a_statement_that_fails_does_not_print_what_it_was_given(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "x.db")
    try:
        with pytest.raises(OperationalError) as failure:
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO nowhere VALUES (:phone)"), {"phone": "03-1234"})
        assert "nowhere" in str(failure.value)
        assert "03-1234" not in str(failure.value)
    finally:
        await database.close()
