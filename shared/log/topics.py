"""The topics: made with the settings that the promises rest on, and checked at every start.

An existing topic is never altered: a wrong setting is refused, with the command that mends it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from shared.errors import ConfigError, LogUnavailable, SetupError
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.log.aiokafka_inside import close_admin, start_admin
from shared.log.kafka_connection import KafkaConnection, cause
from shared.settings import Settings

TOPICS = (TOPIC_EVENTS, TOPIC_TRIGGERS, TOPIC_DEAD_LETTERS)
ANSWER_SECONDS = 15.0
LOOKS_MAX = 50
LOOK_EVERY_SECONDS = 0.2
RECORD_BATCH_BYTES_MIN = 1_001_000  # kafka_append.MESSAGE_BYTES_MAX and what a batch adds to it
_HOUR_MS = 3_600_000


class TopicPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic has to be. `settings` have to be equal; `at_least` are lower bounds (-1: no bound)."""

    name: str
    partition_count: int
    replication_factor: int
    settings: Mapping[str, str]
    at_least: Mapping[str, int]


class TopicFound(msgspec.Struct, frozen=True, kw_only=True):
    """How an existing topic is."""

    partition_count: int
    replication_factor: int
    settings: Mapping[str, str]


def topic_plan(name: str, settings: Settings) -> TopicPlan:
    """What the environment asks of topic `name`."""
    return TopicPlan(
        name=name,
        partition_count=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        settings={
            # The broker's clock, for the watermark: a producer's clock must not accuse a customer.
            "message.timestamp.type": "LogAppendTime",
            # Compaction would keep a customer's last event and drop the days before it.
            "cleanup.policy": "delete",
            # A size limit deletes records that nobody has read yet.
            "retention.bytes": "-1",
            # A leader that lags behind would forget what was acknowledged.
            "unclean.leader.election.enable": "false",
        },
        at_least={
            "retention.ms": settings.kafka_retention_hours * _HOUR_MS,
            "min.insync.replicas": min(2, settings.kafka_replication_factor),
            "max.message.bytes": RECORD_BATCH_BYTES_MIN,
        },
    )


def problems(plan: TopicPlan, found: TopicFound, bootstrap_servers: str) -> list[str]:
    """One line for each setting of an existing topic that breaks a promise, with what mends it."""
    said = []
    if found.partition_count != plan.partition_count:
        said.append(
            f"{plan.name}: partitions is {found.partition_count}, wanted {plan.partition_count}; "
            f"set KAFKA_PARTITIONS={found.partition_count} (adding partitions would move customers)"
        )
    if found.replication_factor < plan.replication_factor:
        said.append(
            f"{plan.name}: replication factor is {found.replication_factor}, "
            f"wanted {plan.replication_factor}; raise it with kafka-reassign-partitions.sh, "
            f"or set KAFKA_REPLICATION_FACTOR={found.replication_factor}"
        )
    for name, wanted in _wrong_settings(plan, found.settings):
        said.append(
            f"{plan.name}: {name} is {found.settings.get(name)}, wanted {wanted}; "
            f"kafka-configs.sh --bootstrap-server {bootstrap_servers} --alter --entity-type topics "
            f"--entity-name {plan.name} --add-config {name}={wanted}"
        )
    return said


def _wrong_settings(plan: TopicPlan, found: Mapping[str, str]) -> list[tuple[str, object]]:
    unequal = [(name, wanted) for name, wanted in plan.settings.items() if found.get(name) != wanted]
    too_low = [
        (name, wanted)
        for name, wanted in plan.at_least.items()
        if int(found.get(name, 0)) < wanted and found.get(name) != "-1"
    ]
    return [*unequal, *too_low]


async def ensure_topics(connection: KafkaConnection, plans: Sequence[TopicPlan]) -> None:
    """Make the topics that are missing, and refuse to start on one that is wrong.

    Raises ConfigError with one line a problem, SetupError where the cluster refuses to make or show a
    topic, LogUnavailable where no broker answers.
    """
    async with _admin(connection) as admin:
        existing = await _counts(admin)
        await _create(admin, [plan for plan in plans if plan.name not in existing])
        found = await _found(admin, [plan.name for plan in plans])
    wrong = [
        line for plan in plans for line in problems(plan, found[plan.name], connection.bootstrap_servers)
    ]
    if wrong:
        raise ConfigError(f"a topic has a wrong setting: {wrong[0]}", tuple(wrong))


@asynccontextmanager
async def _admin(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection.arguments())
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await start_admin(admin)
            yield admin
    except (TimeoutError, KafkaError, OSError) as error:
        raise LogUnavailable(f"Kafka does not answer: {cause(error)}") from error
    finally:
        await close_admin(admin)


async def _counts(admin: AIOKafkaAdminClient) -> dict[str, tuple[int, int]]:
    """Partitions and replicas of every topic. All are asked for, because to ask for one could make it."""
    return {
        topic["topic"]: (len(topic["partitions"]), min(len(p["replicas"]) for p in topic["partitions"]))
        for topic in await admin.describe_topics()
        if topic["partitions"]
    }


async def _create(admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan]) -> None:
    if not plans:
        return
    answer = await admin.create_topics([_new_topic(plan) for plan in plans])
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        # Another process that starts at the same time may have been first.
        if error not in (NoError, TopicAlreadyExistsError):
            reason = message[0] if message and message[0] else error.description
            raise SetupError(f"topic {name} cannot be made: {reason}")


def _new_topic(plan: TopicPlan) -> NewTopic:
    configs = {**plan.settings, **{name: str(value) for name, value in plan.at_least.items()}}
    return NewTopic(plan.name, plan.partition_count, plan.replication_factor, topic_configs=configs)


async def _found(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicFound]:
    """The topics as they are; a new one takes a moment until every broker knows it, and any may be asked."""
    found: dict[str, TopicFound] = {}
    for _ in range(LOOKS_MAX):
        counts = await _counts(admin)
        for name in counts.keys() & set(names) - found.keys():
            if (topic := await _topic(admin, name, *counts[name])) is not None:
                found[name] = topic
        if len(found) == len(names):
            return found
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    missing = ", ".join(name for name in names if name not in found)
    raise SetupError(
        f"the cluster does not show the topics {missing}: is this user allowed to describe them?"
    )


async def _topic(
    admin: AIOKafkaAdminClient, name: str, partition_count: int, replication_factor: int
) -> TopicFound | None:
    """None where the broker that was asked does not know it yet."""
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [(code, message, _, _, entries)] = [resource for answer in answers for resource in answer.resources]
    if for_code(code) is UnknownTopicOrPartitionError:
        return None
    if for_code(code) is not NoError:
        raise SetupError(
            f"the settings of topic {name} cannot be read: {message or for_code(code).description}"
        )
    return TopicFound(
        partition_count=partition_count, replication_factor=replication_factor, settings=_settings(entries)
    )


def _settings(entries: Sequence[Sequence[Any]]) -> dict[str, str]:
    return {str(entry[0]): str(entry[1]) for entry in entries}
