"""Opens what the services stand on: one SQLite file for one process, or Kafka and PostgreSQL for many."""

import fcntl
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from deploy.migrations.upgrade import bring_up, is_current
from services.bootstrap import Foundations
from services.retention import Retention
from services.supervisor import Worker
from shared.auth import KeyRing
from shared.clock import Clock, SystemClock
from shared.config import Config
from shared.database import Database, open_postgres, open_sqlite
from shared.errors import ConfigError, SetupError
from shared.log import Log
from shared.log.embedded import EmbeddedLog
from shared.settings import Settings

DATABASE_NAME = "usage-triggers.sqlite3"
LOCK_NAME = "usage-triggers.lock"


def is_distributed(settings: Settings) -> bool:
    """Whether the environment names a database or Kafka; both are needed then. Raises ConfigError."""
    given = {
        "DATABASE_URL": settings.database_url is not None,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers is not None,
    }
    if any(given.values()) and not all(given.values()):
        missing = next(name for name, is_given in given.items() if not is_given)
        raise ConfigError(f"{missing} is not set: the distributed shape needs both DATABASE_URL and Kafka")
    return all(given.values())


@asynccontextmanager
async def foundations(config: Config, settings: Settings, clock: Clock) -> AsyncIterator[Foundations]:
    """Whichever shape the environment asks for, closed at the end."""
    opened = distributed if is_distributed(settings) else embedded
    async with opened(config, settings, clock) as base:
        yield base


@asynccontextmanager
async def embedded(config: Config, settings: Settings, clock: Clock) -> AsyncIterator[Foundations]:
    """One SQLite file under `data_dir`, locked for this process, its schema brought up.

    Raises SetupError when the directory cannot be written or another process has it.
    """
    with only_writer(settings.data_dir):
        database = open_sqlite(settings.data_dir / DATABASE_NAME)
        base = on_one_database(config, settings, clock, database)
        try:
            await bring_up(database)
            yield base
        finally:
            await base.log.close()
            await database.close()


def on_one_database(config: Config, settings: Settings, clock: Clock, database: Database) -> Foundations:
    """The log in the database itself, and who trims it; both are the caller's to close."""
    log = EmbeddedLog(database, clock)
    retention = Retention(
        database,
        log,
        clock,
        hours=settings.kafka_retention_hours,
        dead_letters=config.retention.dead_letters,
    )
    return _on(config, settings, clock, database, log, upkeep={"retention": retention})


@asynccontextmanager
async def distributed(config: Config, settings: Settings, clock: Clock) -> AsyncIterator[Foundations]:
    """Kafka and PostgreSQL as the environment names them.

    Raises SetupError while the schema is not this program's: `usage-triggers migrate` brings it up.
    """
    from shared.log.kafka import KafkaLog
    from shared.log.kafka_connection import kafka_connection
    from shared.log.topics import TOPICS, ensure_topics, topic_plan

    connection = kafka_connection(settings)
    database = open_database(settings)
    log = KafkaLog(connection, clock)
    try:
        if not await is_current(database):
            raise SetupError("the database's schema is not this program's; run `usage-triggers migrate`")
        await ensure_topics(connection, [topic_plan(name, settings) for name in TOPICS])
        yield _on(config, settings, clock, database, log)
    finally:
        await log.close()
        await database.close()


def open_database(settings: Settings) -> Database:
    """The database alone, for commands that need no log; SQLite in `data_dir` unless DATABASE_URL is set.

    SQLite lets several processes write, one after the other, so this works beside a running `serve`.
    """
    if settings.database_url is not None:
        return open_postgres(settings.database_url.get_secret_value())
    _make_writable(settings.data_dir)
    return open_sqlite(settings.data_dir / DATABASE_NAME)


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[Log]:
    """The log alone, to be read beside running services."""
    if is_distributed(settings):
        from shared.log.kafka import KafkaLog
        from shared.log.kafka_connection import kafka_connection

        log: Log = KafkaLog(kafka_connection(settings), SystemClock())
        try:
            yield log
        finally:
            await log.close()
        return
    database = open_database(settings)
    log = EmbeddedLog(database, SystemClock())
    try:
        await bring_up(database)
        yield log
    finally:
        await log.close()
        await database.close()


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Holds the directory for this process; the lock goes with the process, however it ends."""
    _make_writable(directory)
    with (directory / LOCK_NAME).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            message = f"{directory} is in use by another usage-triggers (process {holder})"
            raise SetupError(f"{message}; stop it, or choose another directory with --data") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _make_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / LOCK_NAME).open("a"):
            pass
    except OSError as error:
        message = f"cannot write to {directory}: {error.strerror}"
        raise SetupError(f"{message}; choose another directory with --data") from error


def _on(
    config: Config,
    settings: Settings,
    clock: Clock,
    database: Database,
    log: Log,
    *,
    upkeep: Mapping[str, Worker] | None = None,
) -> Foundations:
    return Foundations(
        config=config,
        settings=settings,
        clock=clock,
        database=database,
        log=log,
        keys=KeyRing(database, clock),
        random=random.Random(),
        upkeep=upkeep or {},
    )
