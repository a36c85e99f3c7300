"""Where one scenario happens: a store and a log of its own, on one of the two shapes, and its processes."""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import select

from deploy.migrations.upgrade import bring_up
from services.foundations import DATABASE_NAME
from shared.auth import KeyRing
from shared.clock import SystemClock
from shared.config import Config
from shared.database import Database, open_postgres, open_sqlite
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.log import Log, Message, Record
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection
from shared.log.topics import TOPICS, ensure_topics, topic_plan
from shared.schema import customers, log_records, outbox, positions
from shared.settings import Settings
from shared.triggers import decode_trigger
from tests.faults.child import EMBEDDED_PARTITIONS
from tests.faults.launching import LOOK_EVERY_SECONDS, Ended, Instance

PRODUCT = "reserve"
PARTITIONS = EMBEDDED_PARTITIONS
TICK_EVERY_SECONDS = 0.5
EVERYTHING = ("ingest", "evaluator")
REST_SECONDS_MAX = 120.0
"""Longer than a statement, a lease or a lock of somebody frozen can keep the others waiting."""
READ_SECONDS_MAX = 30.0
SHAMES = ("Unclosed", "never retrieved", "was destroyed but it is pending", "Traceback", "never awaited")
"""What asyncio and clients print when something was left lying about."""
NOT_OURS = "GroupCoordinator._do_commit_offsets"
"""aiokafka does not look at the end of a commit that was given up; nothing depends on it."""

SECTION: dict[str, Any] = {
    "calendar": {"learn_closed_weekdays": False},
    "rules": {
        "habit": {"kind": "streak", "days": 5, "emit": "habit.formed"},
        "stopped": {"kind": "absence", "expect": "calendar", "grace": "0s", "again_after_days": [2]},
    },
}
"""What the oracle can read: nothing learned, the calendar taken literally."""


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the outbox, in the order decided."""

    id: str
    topic: str
    customer_id: str
    value: bytes
    is_sent: bool


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the database held at one moment: per partition (next offset, watermark), and the rest."""

    positions: dict[int, tuple[int, int]]
    states: dict[str, bytes]
    partitions: dict[str, int]
    dues: dict[str, int | None]
    outbox: list[OutboxEntry]

    def is_settled(self) -> bool:
        """Whether nobody is left whom a watermark has passed, and nothing is left to send."""
        is_swept = all(
            due_us is None or due_us >= self.positions[self.partitions[customer_id]][1]
            for customer_id, due_us in self.dues.items()
        )
        return is_swept and all(entry.is_sent for entry in self.outbox)

    def silent(self) -> set[str]:
        """The customers of whom a stop stands: told, neither taken back nor followed by use."""
        open_: dict[str, set[str]] = {}
        for entry in self.outbox:
            if entry.topic != TOPIC_TRIGGERS:
                continue
            trigger = decode_trigger(entry.value)
            stops = open_.setdefault(entry.customer_id, set())
            if trigger.type == "usage.stopped":
                stops.add(trigger.id)
            elif trigger.type == "usage.stopped.retracted":
                stops.discard(trigger.data.stopped_id or "")
            elif trigger.type == "usage.resumed":
                stops.clear()
        return {customer_id for customer_id, stops in open_.items() if stops}

    def told(self, type_: str) -> set[str]:
        """The customers of whom a trigger of this type is in the outbox."""
        marker = f'"type":"{type_}"'.encode()
        return {entry.customer_id for entry in self.outbox if marker in entry.value}


class Place:
    """What both shapes have in common; `async with` opens it, and at the end kills its processes."""

    shape: str
    directory: Path
    database: Database
    log: Log
    prefix = ""

    def __init__(self, directory: Path, section: Mapping[str, Any] = SECTION, **more: Any) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.config = Config.model_validate({"products": {PRODUCT: section}, **more})
        self.config_file = directory / "usage-triggers.yaml"
        self.config_file.write_text(yaml.safe_dump({"products": {PRODUCT: dict(section)}, **more}))
        self.instances: list[Instance] = []
        self._stack = AsyncExitStack()

    @property
    def section(self) -> Any:
        return self.config.products[PRODUCT]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "USAGE_TRIGGERS_CONFIG": str(self.config_file),
            "PORT": "0",
            "TICK_EVERY_SECONDS": str(TICK_EVERY_SECONDS),
            "FAULTS_PREFIX": self.prefix,
        }

    # Processes

    def launch(self, services: Collection[str] = EVERYTHING, *, name: str = "", **env: str) -> Instance:
        """A new process with `services`, not yet ready; `env` is added to its environment."""
        name = name or f"{'-'.join(services)}-{len(self.instances)}"
        environment = {**self.environment(), "FAULTS_SERVICES": " ".join(services), **env}
        instance = Instance(environment, self.directory, name)
        self.instances.append(instance)
        return instance

    async def start(self, services: Collection[str] = EVERYTHING, *, name: str = "", **env: str) -> Instance:
        """A new process with `services` that answers."""
        return await self.launch(services, name=name, **env).ready()

    async def make_key(self) -> str:
        """An API key of the product, in a database whose schema is there."""
        await bring_up(self.database)
        return await KeyRing(self.database, SystemClock()).create(PRODUCT)

    async def append(self, messages: Sequence[Message], topic: str = TOPIC_EVENTS) -> None:
        """Straight into the log, past ingest."""
        await self.log.append(self.prefix + topic, messages)

    # Looking

    async def snapshot(self) -> Snapshot:
        """All of it in one transaction, so that its parts belong together."""
        place = select(positions).where(positions.c.topic == TOPIC_EVENTS)
        async with self.database.read() as connection:
            places = (await connection.execute(place)).all()
            people = (await connection.execute(select(customers))).all()
            rows = (await connection.execute(select(outbox).order_by(outbox.c.seq))).all()
        return Snapshot(
            positions={row.partition: (row.next_offset, row.watermark_us) for row in places},
            states={row.customer_id: bytes(row.state) for row in people},
            partitions={row.customer_id: row.partition for row in people},
            dues={row.customer_id: row.due_us for row in people},
            outbox=[
                OutboxEntry(
                    id=row.id,
                    topic=row.topic,
                    customer_id=row.customer_id,
                    value=bytes(row.value),
                    is_sent=row.sent_us is not None,
                )
                for row in rows
            ],
        )

    async def until(
        self,
        holds: Callable[[Snapshot], bool],
        *,
        within_seconds: float = REST_SECONDS_MAX,
        alive: Instance | None = None,
    ) -> Snapshot:
        """The first snapshot of which `holds` is true; raises Ended when `alive` ends before."""
        latest: Snapshot | None = None
        try:
            async with asyncio.timeout(within_seconds):
                while True:
                    latest = await self.snapshot()
                    if holds(latest):
                        return latest
                    await self.look_again(alive)
        except TimeoutError:
            raise AssertionError(f"not within {within_seconds:g} s; {self._state(latest)}") from None

    async def look_again(self, alive: Instance | None = None) -> None:
        """Returns after a moment; raises Ended when `alive` is no more."""
        if alive is None:
            alive = next((instance for instance in self.instances if instance.is_alive), None)
            if alive is not None:
                await alive.ended_within(LOOK_EVERY_SECONDS)
            return
        if await alive.ended_within(LOOK_EVERY_SECONDS):
            raise Ended(f"{alive.name} ended with {alive.exit_code}:\n{alive.said()[-3000:]}")

    async def rest(
        self, *, within_seconds: float = REST_SECONDS_MAX, alive: Instance | None = None
    ) -> Snapshot:
        """A snapshot after everything appended so far was folded, judged at a later tick, and sent."""
        ends = await self.ends()
        return await self.until(
            lambda seen: (
                all(seen.positions.get(p, (0, 0))[0] > end for p, end in ends.items()) and seen.is_settled()
            ),
            within_seconds=within_seconds,
            alive=alive,
        )

    async def ends(self) -> dict[int, int]:
        """The offset after the last record of each partition of the events."""
        return {
            number: records[-1].offset + 1 for number, records in (await self.records(TOPIC_EVENTS)).items()
        }

    async def records(self, topic: str) -> dict[int, list[Record]]:
        """Every record of a topic, read without the code that is being tested."""
        raise AssertionError(f"{self.shape} does not say how {topic} is read")

    def _state(self, latest: Snapshot | None) -> str:
        alive = [instance.name for instance in self.instances if instance.is_alive]
        said = "\n".join(f"--- {i.name}\n{i.said()[-1500:]}" for i in self.instances[-3:])
        if latest is None:
            return f"the database did not answer; alive: {alive}\n{said}"
        unsent = sum(not entry.is_sent for entry in latest.outbox)
        return f"positions {latest.positions}, {unsent} unsent, alive: {alive}\n{said}"

    # Opening and closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for instance in self.instances:
            instance.kill()
        await self._stack.aclose()
        if error is None:
            self._check_words()

    def _check_words(self) -> None:
        """Whatever the fault was: what a process forgot to close or to look at is a fault of its own."""
        for instance in self.instances:
            lines = [
                line
                for line in instance.said().splitlines()
                if any(word in line for word in SHAMES) and NOT_OURS not in line
            ]
            assert not lines, f"{instance.name} said:\n" + "\n".join(lines[:5])


class EmbeddedPlace(Place):
    """One SQLite file in the directory."""

    shape = "embedded"

    async def __aenter__(self) -> Self:
        self.open()
        self._stack.push_async_callback(self.close)
        return self

    def open(self) -> None:
        """Our own connections to the file."""
        self.data = self.directory / "data"
        self.data.mkdir(exist_ok=True)
        self.database = open_sqlite(self.data / DATABASE_NAME)
        self.log = self.embedded_log = EmbeddedLog(
            self.database, SystemClock(), partitions=EMBEDDED_PARTITIONS
        )

    async def close(self) -> None:
        await self.log.close()
        await self.database.close()

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "USAGE_TRIGGERS_DATA": str(self.data)}

    async def ends(self) -> dict[int, int]:
        return {p: await self.embedded_log.end(TOPIC_EVENTS, p) for p in range(PARTITIONS)}

    async def records(self, topic: str) -> dict[int, list[Record]]:
        query = select(log_records).where(log_records.c.topic == topic)
        async with self.database.read() as connection:
            rows = (await connection.execute(query.order_by(log_records.c.offset))).all()
        found: dict[int, list[Record]] = {}
        for row in rows:
            record = Record(
                partition=row.partition,
                offset=row.offset,
                appended_us=row.appended_us,
                key=row.key,
                value=row.value,
            )
            found.setdefault(row.partition, []).append(record)
        return found


class DistributedPlace(Place):
    """A database and topics of its own on common servers.

    `bootstrap_servers` and `database_url` are where its processes look, through a proxy perhaps; we ourselves
    always go to `kafka` and `postgres` directly.
    """

    shape = "distributed"

    def __init__(
        self,
        directory: Path,
        kafka: str,
        postgres: str,
        section: Mapping[str, Any] = SECTION,
        *,
        copies: int = 1,
        **more: Any,
    ) -> None:
        super().__init__(directory, section, **more)
        self._topics = {"KAFKA_PARTITIONS": str(PARTITIONS), "KAFKA_REPLICATION_FACTOR": str(copies)}
        self.bootstrap_servers = self._kafka = kafka
        self.database_url = self._postgres = postgres
        self.prefix = f"{uuid4().hex[:12]}."

    @property
    def name(self) -> str:
        """Of the database."""
        return self._postgres.rpartition("/")[2]

    async def __aenter__(self) -> Self:
        connection = KafkaConnection(bootstrap_servers=self._kafka)
        settings = Settings.model_validate(self._topics)
        plans = [topic_plan(name, settings) for name in TOPICS]
        await ensure_topics(connection, [_renamed(plan, self.prefix) for plan in plans])
        self._stack.push_async_callback(self._remove_topics)
        self.database = open_postgres(self._postgres)
        self._stack.push_async_callback(self.database.close)
        self.log = KafkaLog(connection, SystemClock())
        self._stack.push_async_callback(self.log.close)
        return self

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            **self._topics,
        }

    async def ends(self) -> dict[int, int]:
        async with _reading(self._kafka) as consumer:
            places = [TopicPartition(self.prefix + TOPIC_EVENTS, p) for p in range(PARTITIONS)]
            found = await consumer.end_offsets(places)
        return {place.partition: end for place, end in found.items()}

    async def records(self, topic: str) -> dict[int, list[Record]]:
        places = [TopicPartition(self.prefix + topic, p) for p in range(PARTITIONS)]
        async with _reading(self._kafka) as consumer, asyncio.timeout(READ_SECONDS_MAX):
            begins = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            consumer.assign(places)
            for place in places:  # at once, before it looks for a position of its own
                consumer.seek(place, begins[place])
            found: dict[int, list[Record]] = {place.partition: [] for place in places}
            while any([await consumer.position(place) < ends[place] for place in places]):
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[place.partition] += [_record(record) for record in records]
        return found

    async def _remove_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        await admin.start()
        try:
            await admin.delete_topics([self.prefix + name for name in TOPICS])
        finally:
            await admin.close()


class _reading:
    """A consumer that belongs to no group."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)

    async def __aenter__(self) -> AIOKafkaConsumer:
        await self._consumer.start()
        return self._consumer

    async def __aexit__(self, *failure: object) -> None:
        await self._consumer.stop()


def _renamed(plan: Any, prefix: str) -> Any:
    return msgspec.structs.replace(plan, name=prefix + plan.name)


def _record(record: Any) -> Record:
    return Record(
        partition=record.partition,
        offset=record.offset,
        appended_us=record.timestamp * 1000,
        key=record.key,
        value=b"" if record.value is None else record.value,
    )
