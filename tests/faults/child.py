"""What runs in a process of the fault tests: the real services, on foundations that can be made to fail.

`FAULTS_*` of the environment say what is not as usual; everything else is read by the services themselves.
Nothing of the project is imported before the environment is set, for failpoints are armed on import.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.bootstrap import Foundations
    from services.supervisor import Worker
    from shared.clock import Clock
    from shared.config import Config
    from shared.log import Consumer, Log, Message, Record
    from shared.settings import Settings

PRELOADED = (
    "aiokafka",
    "aiosqlite",
    "alembic.command",
    "asyncpg",
    "fastapi",
    "httptools",
    "msgspec",
    "prometheus_client",
    "pydantic_settings",
    "sqlalchemy.ext.asyncio",
    "structlog",
    "uvicorn",
    "uvloop",
)
"""What every process needs and none of ours: imported once, before it is forked."""

EMBEDDED_PARTITIONS = 3
_PR_SET_PDEATHSIG = 1


def main(environment: Mapping[str, str], output: str, url_file: str) -> None:
    """Runs the services of FAULTS_SERVICES until SIGTERM; their address is written to `url_file`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _write_to(output)
    os.environ.clear()
    os.environ.update(environment)
    if os.environ.get("FAULTS_RELEASE") == "next":
        from tests.faults.next_release import become

        become()
    from services.commands.serve import run
    from shared.errors import UsageTriggersError

    try:
        run(_serve(Path(url_file)))
    except UsageTriggersError as error:
        print(f"usage-triggers: {error.message}", file=sys.stderr)
        sys.exit(1)


def _write_to(output: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)


async def _serve(url_file: Path) -> None:
    from services.bootstrap import assemble
    from services.commands.surroundings import read_config, read_settings
    from services.serving import bind, serve, url_of
    from services.supervisor import Supervisor
    from shared.telemetry import configure_logging

    settings = read_settings()
    configure_logging(settings.log_level)
    config = read_config(settings.config_path)
    with bind(settings.host, settings.port) as listener:
        async with _foundations(config, settings, _clock()) as base:
            assembly = assemble(base, os.environ["FAULTS_SERVICES"].split())  # type: ignore[arg-type]
            others = Supervisor(_others(base))
            others.start()

            async def greet() -> None:
                unfinished = url_file.with_suffix(".unfinished")
                unfinished.write_text(url_of(listener))
                unfinished.rename(url_file)

            try:
                await serve(assembly, listener, on_ready=greet)
            finally:
                await others.stop()


@asynccontextmanager
async def _foundations(
    config: "Config", settings: "Settings", clock: "Clock"
) -> "AsyncIterator[Foundations]":
    import msgspec

    from services.foundations import foundations, is_distributed
    from shared.log.embedded import EmbeddedLog

    if is_distributed(settings) and os.environ.get("FAULTS_MIGRATES") != "no":
        await _migrate(settings)
    async with foundations(config, settings, clock) as base:
        if is_distributed(settings):
            yield msgspec.structs.replace(base, log=_NamedLog(base.log, os.environ["FAULTS_PREFIX"]))
            return
        log = EmbeddedLog(base.database, clock, partitions=EMBEDDED_PARTITIONS)
        try:
            yield msgspec.structs.replace(base, log=_NamedLog(log, ""))
        finally:
            await log.close()


async def _migrate(settings: "Settings") -> None:
    """As the command `migrate` does; the embedded shape does it by itself."""
    from deploy.migrations.upgrade import bring_up
    from services.foundations import open_database

    database = open_database(settings)
    try:
        await bring_up(database)
    finally:
        await database.close()


def _clock() -> "Clock":
    from shared.clock import SystemClock

    shift = os.environ.get("FAULTS_CLOCK_FILE")
    return SystemClock() if shift is None else _WrongClock(Path(shift))


class _WrongClock:
    """The system's clock, wrong by as many seconds as stand in a file at the moment of reading."""

    def __init__(self, file: Path) -> None:
        from shared.clock import SystemClock

        self._clock = SystemClock()
        self._file = file

    def now_us(self) -> int:
        return self._clock.now_us() + round(float(self._file.read_text()) * 1_000_000)


def _others(base: "Foundations") -> "dict[str, Worker]":
    """A second ticker and a second relay, each for every partition, whoever owns it."""
    from services.evaluator.relay import Relay
    from services.evaluator.store import EvaluatorStore
    from services.evaluator.ticker import Ticker

    wanted = os.environ.get("FAULTS_OTHERS", "").split()
    partitions = range(EMBEDDED_PARTITIONS)
    every_seconds = base.settings.tick_every_seconds
    made: dict[str, Worker] = {
        "ticker": Ticker(
            log=base.log,
            clock=base.clock,
            awaiting=lambda: dict.fromkeys(partitions),
            every_seconds=every_seconds,
        ),
        "relay": Relay(
            store=EvaluatorStore(base.database), log=base.log, clock=base.clock, partitions=lambda: partitions
        ),
    }
    return {name: made[name] for name in wanted}


class _NamedLog:
    """A log whose topics and groups have a prefix, so that many scenarios share one Kafka."""

    def __init__(self, log: "Log", prefix: str) -> None:
        self._log = log
        self._prefix = prefix

    async def append(self, topic: str, messages: "Sequence[Message]") -> None:
        await self._log.append(self._prefix + topic, messages)

    async def partitions(self, topic: str) -> int:
        return await self._log.partitions(self._prefix + topic)

    async def ends(self, topic: str) -> "Mapping[int, int]":
        return await self._log.ends(self._prefix + topic)

    async def consumer(self, topic: str, group: str) -> "Consumer":
        consumer = await self._log.consumer(self._prefix + topic, self._prefix + group)
        swallowed = os.environ.get("FAULTS_SWALLOW_FILE")
        return consumer if swallowed is None else _HoledConsumer(consumer, Path(swallowed))

    async def check(self) -> None:
        await self._log.check()

    async def close(self) -> None:
        await self._log.close()


class _HoledConsumer:
    """A consumer to which nothing is ever given of one partition, as long as a file with its number exists.

    Its owner believes that the partition is read like the others: it is assigned, and it is sought.
    """

    def __init__(self, consumer: "Consumer", file: Path) -> None:
        self._consumer: Any = consumer
        self._file = file
        self._held: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def sought(self) -> frozenset[int]:
        sought: frozenset[int] = self._consumer.sought()
        return sought | self._held.keys()

    def seek(self, partition: int, offset: int) -> None:
        if self._file.exists() and partition == int(self._file.read_text()):
            self._held[partition] = offset
        else:
            self._consumer.seek(partition, offset)

    def forget(self, partition: int) -> None:
        self._held.pop(partition, None)
        self._consumer.forget(partition)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> "Mapping[int, Sequence[Record]]":
        if not self._file.exists():
            for partition, offset in self._held.items():
                self._consumer.seek(partition, offset)
            self._held.clear()
        found: Mapping[int, Sequence[Record]] = await self._consumer.fetch(
            records_max=records_max, timeout_seconds=timeout_seconds
        )
        return found
