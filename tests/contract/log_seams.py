"""The logs that keep the contract, each on storage of its own: the embedded one and Apache Kafka."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from shared.clock import ManualClock, SystemClock
from shared.database import Database, open_sqlite
from shared.log import Log
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection
from shared.log.topics import ensure_topics, topic_plan
from shared.schema import log_records, metadata
from shared.settings import Settings
from tests.servers.base import free_port

PARTITIONS = 4
STARTED_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Seam(Protocol):
    """One implementation under test, on storage of its own."""

    topic: str

    def open_log(self, *, bytes_waiting_max: int = 1 << 20) -> Log:
        """Another log on the same storage, as another process would have it."""
        ...

    def open_unreachable_log(self) -> Log: ...

    async def delete_before(self, partition: int, offset: int) -> None:
        """Let retention have its way."""
        ...


class EmbeddedSeam:
    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.topic = "usage.test"
        self.clock = ManualClock(STARTED_AT)
        self._stack = stack
        self._directory = directory

    async def make(self) -> None:
        database = self._open(self._directory)
        async with database.begin() as connection:
            await connection.run_sync(metadata.create_all)

    def open_log(self, *, bytes_waiting_max: int = 1 << 20) -> Log:
        log = EmbeddedLog(
            self._open(self._directory),
            self.clock,
            partitions=PARTITIONS,
            bytes_waiting_max=bytes_waiting_max,
        )
        self._stack.push_async_callback(log.close)
        return log

    def open_unreachable_log(self) -> Log:
        return EmbeddedLog(self._open(self._directory / "missing"), self.clock, partitions=PARTITIONS)

    async def delete_before(self, partition: int, offset: int) -> None:
        async with self._open(self._directory).begin() as connection:
            here = (log_records.c.topic == self.topic, log_records.c.partition == partition)
            await connection.execute(log_records.delete().where(*here, log_records.c.offset < offset))

    def _open(self, directory: Path) -> Database:
        database = open_sqlite(directory / "usage.db")
        self._stack.push_async_callback(database.close)
        return database


class KafkaSeam:
    def __init__(self, connection: KafkaConnection, topic: str, stack: AsyncExitStack) -> None:
        self.topic = topic
        self._connection = connection
        self._stack = stack

    async def make(self) -> None:
        settings = Settings.model_validate({"KAFKA_PARTITIONS": PARTITIONS})
        await ensure_topics(self._connection, [topic_plan(self.topic, settings)])

    def open_log(self, *, bytes_waiting_max: int = 1 << 20) -> Log:
        log = KafkaLog(self._connection, SystemClock(), bytes_waiting_max=bytes_waiting_max)
        self._stack.push_async_callback(log.close)
        return log

    def open_unreachable_log(self) -> Log:
        nowhere = KafkaConnection(bootstrap_servers=f"127.0.0.1:{free_port()}")
        log = KafkaLog(nowhere, SystemClock())
        self._stack.push_async_callback(log.close)
        return log

    async def delete_before(self, partition: int, offset: int) -> None:
        admin = AIOKafkaAdminClient(**self._connection.arguments())
        await admin.start()
        try:
            place = TopicPartition(self.topic, partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()
