"""Topics are made with the settings that the promises rest on, and a wrong one is refused with its remedy."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.errors import UnknownTopicOrPartitionError

from shared.errors import ConfigError, LogUnavailable, SetupError
from shared.log import topics
from shared.log.kafka_connection import KafkaConnection
from shared.log.topics import TOPICS, TopicFound, ensure_topics, problems, topic_plan
from shared.settings import Settings
from tests.servers.base import free_port


def _settings(**given: object) -> Settings:
    return Settings.model_validate({"KAFKA_PARTITIONS": 3, **given})


def _found(changed: Mapping[str, str] | None = None, *, partitions: int = 3, replicas: int = 1) -> TopicFound:
    right = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
        "retention.ms": str(40 * 24 * 3_600_000),
        "min.insync.replicas": "1",
        "max.message.bytes": "1048588",
    }
    settings = right | dict(changed or {})
    return TopicFound(partition_count=partitions, replication_factor=replicas, settings=settings)


def test_a_topic_as_planned_has_no_problem() -> None:
    assert problems(topic_plan("usage.events", _settings()), _found(), "b:9092") == []


@pytest.mark.parametrize(
    "changed",
    [{"retention.ms": "-1"}, {"retention.ms": str(10**13)}, {"min.insync.replicas": "3"}],
    ids=["kept for ever", "kept longer", "safer"],
)
def test_more_than_was_asked_for_is_right_too(changed: Mapping[str, str]) -> None:
    assert problems(topic_plan("usage.events", _settings()), _found(changed), "b:9092") == []


@pytest.mark.parametrize(
    ("name", "found", "wanted"),
    [
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("cleanup.policy", "compact", "delete"),
        ("retention.bytes", "1073741824", "-1"),
        ("unclean.leader.election.enable", "true", "false"),
        ("retention.ms", "604800000", "3456000000"),  # a week; 40 days are 40 * 24 * 3,600,000 ms
        ("max.message.bytes", "100000", "1001000"),
    ],
)
def test_a_wrong_setting_is_named_with_both_values_and_the_command_that_mends_it(
    name: str, found: str, wanted: str
) -> None:
    topic = _found({name: found})
    assert problems(topic_plan("usage.events", _settings()), topic, "b:9092") == [
        f"usage.events: {name} is {found}, wanted {wanted}; kafka-configs.sh --bootstrap-server b:9092 "
        f"--alter --entity-type topics --entity-name usage.events --add-config {name}={wanted}"
    ]


def test_two_replicas_in_sync_are_wanted_where_there_are_two() -> None:
    plan = topic_plan("usage.events", _settings(KAFKA_REPLICATION_FACTOR=3))
    [line] = problems(plan, _found(replicas=3), "b:9092")
    assert "min.insync.replicas is 1, wanted 2" in line


def test_too_few_replicas_are_refused() -> None:
    plan = topic_plan("usage.events", _settings(KAFKA_REPLICATION_FACTOR=3))
    assert (
        "replication factor is 1, wanted 3"
        in problems(plan, _found({"min.insync.replicas": "2"}), "b:9092")[0]
    )


def test_another_count_of_partitions_is_refused_and_never_altered() -> None:
    [line] = problems(topic_plan("usage.events", _settings()), _found(partitions=8), "b:9092")
    assert line == (
        "usage.events: partitions is 8, wanted 3; "
        "set KAFKA_PARTITIONS=8 (adding partitions would move customers)"
    )


@pytest.mark.kafka
async def test_the_three_topics_are_made_once_however_many_start_at_once(connection: KafkaConnection) -> None:
    plans = [topic_plan(name, _settings()) for name in TOPICS]
    await asyncio.gather(*(ensure_topics(connection, plans) for _ in range(3)))
    await ensure_topics(connection, plans)
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    await admin.close()
    assert {name: described.get(name) for name in TOPICS} == dict.fromkeys(TOPICS, 3)


async def test_a_broker_that_does_not_know_a_new_topic_yet_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Metadata comes from any broker, and so do settings: the second may be behind the first."""
    monkeypatch.setattr(topics, "LOOK_EVERY_SECONDS", 0)
    asked = _Admin(unknown_count=2)
    found = await topics._found(cast(AIOKafkaAdminClient, asked), ["new", "old"])
    assert found == {
        name: TopicFound(partition_count=1, replication_factor=1, settings={"retention.ms": "1"})
        for name in ("new", "old")
    }
    assert asked.asked_for == ["new", "new", "new"]


async def test_a_topic_that_no_broker_comes_to_know_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "LOOK_EVERY_SECONDS", 0)
    with pytest.raises(SetupError, match="does not show the topics new: is this user allowed"):
        await topics._found(cast(AIOKafkaAdminClient, _Admin(unknown_count=1000)), ["new", "old"])


class _Admin:
    """Of a cluster that shows both topics, of which the broker asked for settings knows `new` later."""

    def __init__(self, *, unknown_count: int) -> None:
        self.asked_for: list[str] = []
        self._unknown_count = unknown_count

    async def describe_topics(self) -> list[dict[str, Any]]:
        return [{"topic": name, "partitions": [{"replicas": [1]}]} for name in ("new", "old")]

    async def describe_configs(self, resources: list[ConfigResource]) -> list[SimpleNamespace]:
        [resource] = resources
        code = 0
        if resource.name == "new":
            self.asked_for.append("new")
            code = UnknownTopicOrPartitionError.errno * (len(self.asked_for) <= self._unknown_count)
        return [SimpleNamespace(resources=[(code, None, 2, resource.name, [("retention.ms", "1")])])]


@pytest.mark.kafka
async def test_an_existing_topic_with_wrong_settings_stops_the_start(
    connection: KafkaConnection, topic_name: str
) -> None:
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    await admin.create_topics([NewTopic(topic_name, 3, 1, topic_configs={"retention.ms": "3600000"})])
    await admin.close()
    with pytest.raises(
        ConfigError, match=r"message\.timestamp\.type is CreateTime, wanted LogAppendTime"
    ) as said:
        await ensure_topics(connection, [topic_plan(topic_name, _settings())])
    assert [line.split(" is ")[0] for line in said.value.problems] == [
        f"{topic_name}: message.timestamp.type",
        f"{topic_name}: retention.ms",
    ]


@pytest.mark.kafka
async def test_more_replicas_than_there_are_brokers_are_refused_by_name(
    connection: KafkaConnection, topic_name: str
) -> None:
    plan = topic_plan(topic_name, _settings(KAFKA_REPLICATION_FACTOR=3))
    with pytest.raises(SetupError, match=f"topic {topic_name} cannot be made: .*replication"):
        await ensure_topics(connection, [plan])


async def test_no_broker_is_a_matter_of_time_not_of_settings(topic_name: str) -> None:
    nowhere = KafkaConnection(bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(LogUnavailable, match="Kafka does not answer"):
        await ensure_topics(nowhere, [topic_plan(topic_name, _settings())])
