"""Brings a database's schema up to this program's: safe to run twice, at once, and to be killed half-way.

Everything happens in one transaction, which takes a lock first: on PostgreSQL an advisory one, on SQLite the
writer's place. Whoever comes second waits, finds the schema current and does nothing; whoever is killed
leaves nothing behind. Alembic is imported only when there is something to do, for `serve` has to start fast.
"""

import os
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import failpoints
from shared.database import Database

HEAD = "0001"
"""The newest revision of `versions/`. Revisions are numbered, four digits, so that text orders them."""

VERSIONS = (Path(__file__).parent / "versions",)
"""The directories whose revisions this program knows."""

LOCK_KEY = 7_203_514_906_118
"""Of the advisory lock: any number, always the same."""


async def revision_of(database: Database) -> str | None:
    """The revision that the database has; None for an empty one."""
    async with database.read() as connection:
        return await connection.run_sync(_revision)


async def is_current(database: Database) -> bool:
    """Whether this program can work on the schema: its own, or a newer one, for migrations add before they
    remove. False for an empty database."""
    return _suffices(await revision_of(database))


async def bring_up(database: Database) -> bool:
    """Migrate to HEAD; returns whether there was anything to do. Raises StoreUnavailable.

    A newer schema is left alone, so that old and new instances run side by side while a release rolls out.
    """
    if await is_current(database):
        return False
    async with database.begin() as connection:
        await _take_lock(connection)
        failpoints.hit("schema.begun")
        is_changed = await connection.run_sync(_upgrade)
        failpoints.hit("schema.written")
    return is_changed


def _suffices(revision: str | None) -> bool:
    return revision is not None and revision >= HEAD


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


async def _take_lock(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        # Building an index may take longer than any statement of the services may.
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SET LOCAL lock_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def _upgrade(connection: Connection) -> bool:
    # Read again under the lock: somebody else may have been first.
    if _suffices(_revision(connection)):
        return False
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSIONS)))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    return True
