"""What the benches on real Kafka share: servers of their own, a log with its topics, a use, the product."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import asyncpg

from services.evaluator.core.rules import Product, compile_product
from services.evaluator.store import READER
from shared import metrics
from shared.clock import SystemClock
from shared.config import default_config
from shared.events import Event, encode, record_key
from shared.log import Message
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection
from shared.log.topics import TOPICS, ensure_topics, topic_plan
from shared.settings import Settings
from tests.servers import KafkaServer, PostgresServer, find_kafka, find_postgres
from tests.servers.jars import KAFKA_VERSION

PARTITIONS = 4
DAY_US = 86_400_000_000
PARTS = ("aiokafka", "asyncpg", "msgspec", "sqlalchemy")
"""The packages whose versions count on real servers."""


@contextmanager
def own_servers(*, durable: bool = False) -> Iterator[tuple[KafkaServer, PostgresServer]]:
    """A Kafka and a PostgreSQL for one run, whatever was given; gone at the end of the block.

    `durable`: PostgreSQL's commits are on the disk.
    """
    with (
        closing(find_kafka(own=True)) as kafka,
        closing(find_postgres(own=True, durable=durable)) as postgres,
    ):
        yield kafka, postgres


@asynccontextmanager
async def opened_log(kafka: KafkaServer, partitions: int = PARTITIONS) -> AsyncIterator[KafkaLog]:
    """A log whose topics have so many partitions; closed at the end of the block."""
    connection = KafkaConnection(bootstrap_servers=kafka.bootstrap_servers)
    settings = Settings.model_validate({"KAFKA_PARTITIONS": partitions})
    await ensure_topics(connection, [topic_plan(name, settings) for name in TOPICS])
    log = KafkaLog(connection, SystemClock())
    try:
        yield log
    finally:
        await log.close()


async def server_versions(postgres: PostgresServer) -> dict[str, str]:
    """The versions of both servers."""
    connection = await asyncpg.connect(postgres.url)
    try:
        said = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return {"Apache Kafka": KAFKA_VERSION, "PostgreSQL": said.split()[0]}


def use(customer_id: str, number: int, occurred_us: int, product: str = "default") -> Message:
    """An event of a product."""
    event = Event(
        product=product,
        customer_id=customer_id,
        event_id=f"e-{number}",
        event="reservation.created",
        occurred_us=occurred_us,
        received_us=occurred_us,
        properties={"seats": 4, "channel": "web"},
    )
    return Message(value=encode(event), key=record_key(product, customer_id))


def records_read() -> float:
    """How many records this process's evaluator has read."""
    # Of this metric alone: to collect all of them takes longer than folding a thousand records.
    (family,) = metrics.RECORDS_READ.collect()
    labels = {"reader": READER}
    return sum(s.value for s in family.samples if s.name.endswith("_total") and s.labels == labels)


def products() -> dict[str, Product]:
    """The default configuration's product, compiled."""
    return {name: compile_product(name, section) for name, section in default_config().products.items()}
