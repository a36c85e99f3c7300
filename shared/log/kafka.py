"""The log on Apache Kafka, through aiokafka: what several machines share."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.clock import Clock
from shared.errors import LogUnavailable
from shared.log import Message
from shared.log.aiokafka_inside import start_consumer, stop_consumer
from shared.log.kafka_append import Appender
from shared.log.kafka_connection import KafkaConnection, cause
from shared.log.kafka_consumer import KafkaConsumer
from shared.log.waiting import BYTES_WAITING_MAX
from shared.partitioner import murmur2_partition

APPEND_TIMEOUT_SECONDS = 10.0
CHECK_SECONDS = 3.0


class KafkaLog:
    """Connects when it is first used, and again by itself; `shared.log.topics` has to have made the topics.

    `append` raises LogUnavailable after `append_timeout_seconds`, and at once while no broker answers
    or more than `bytes_waiting_max` bytes wait.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        clock: Clock,
        *,
        bytes_waiting_max: int = BYTES_WAITING_MAX,
        append_timeout_seconds: float = APPEND_TIMEOUT_SECONDS,
    ) -> None:
        self._connection = connection
        self._appender = Appender(
            connection, clock, bytes_waiting_max=bytes_waiting_max, timeout_seconds=append_timeout_seconds
        )
        self._partition_counts: dict[str, int] = {}
        self._consumers: list[KafkaConsumer] = []
        self._keyless_count = 0

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        if messages:
            count = self._partition_counts.get(topic) or await self.partitions(topic)
            partitions = [
                # Without a call of ours for what nearly all messages are.
                murmur2_partition(message.key, count)
                if message.key is not None and message.partition is None
                else self._partition_of(message, count)
                for message in messages
            ]
            await self._appender.append(topic, messages, partitions)

    async def partitions(self, topic: str) -> int:
        """Asked once: a count that grew under way would tear customers from their history (keys move)."""
        if topic not in self._partition_counts:
            producer = await self._appender.connected()
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    self._partition_counts[topic] = len(await producer.partitions_for(topic))
            except (TimeoutError, KafkaError, OSError) as error:
                raise LogUnavailable(f"Kafka does not tell of {topic}: {cause(error)}") from error
        return self._partition_counts[topic]

    async def ends(self, topic: str) -> Mapping[int, int]:
        """By a client of its own, for this is asked once in a while by somebody who looks."""
        places = [TopicPartition(topic, number) for number in range(await self.partitions(topic))]
        asking = AIOKafkaConsumer(**self._connection.arguments(), enable_auto_commit=False)
        await start_consumer(asking)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                ends = await asking.end_offsets(places)
        except (TimeoutError, KafkaError, OSError) as error:
            raise LogUnavailable(f"Kafka does not tell of {topic}: {cause(error)}") from error
        finally:
            await stop_consumer(asking)
        return {place.partition: end for place, end in ends.items()}

    async def consumer(self, topic: str, group: str) -> KafkaConsumer:
        consumer = KafkaConsumer(self._connection, topic, group)
        await consumer.open()
        self._consumers.append(consumer)
        return consumer

    async def check(self) -> None:
        producer = await self._appender.connected()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await producer.client.fetch_all_metadata()
        except (TimeoutError, KafkaError, OSError) as error:
            raise LogUnavailable(f"Kafka does not answer: {cause(error)}") from error

    async def close(self) -> None:
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            await consumer.close()
        await self._appender.close()

    def _partition_of(self, message: Message, partition_count: int) -> int:
        if message.partition is not None:
            if not 0 <= message.partition < partition_count:
                raise ValueError(f"no partition {message.partition}, there are {partition_count}")
            return message.partition
        if message.key is not None:
            return murmur2_partition(message.key, partition_count)
        self._keyless_count += 1
        return self._keyless_count % partition_count
