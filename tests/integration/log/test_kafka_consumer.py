"""The traps of a consuming client, each designed around (decision record 0012)."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from shared.errors import SetupError, Unreadable
from shared.log import Message
from shared.log.aiokafka_inside import abandon_consumer, is_dead
from shared.log.kafka_connection import KafkaConnection
from shared.log.kafka_consumer import KafkaConsumer
from tests.integration.log.conftest import MakeTopic, OpenLog
from tests.log_reading import FETCHES_MAX, read, read_all, settled, until
from tests.servers import KafkaServer

pytestmark = pytest.mark.kafka


def _messages(count: int, partition: int = 0) -> list[Message]:
    return [Message(value=b"%d" % n, partition=partition) for n in range(count)]


async def _commit(connection: KafkaConnection, topic: str, group: str, offset: int) -> None:
    """Leave a committed offset in the group, as an earlier member would."""
    bare = AIOKafkaConsumer(**connection.arguments(), group_id=group, enable_auto_commit=False)
    await bare.start()
    place = TopicPartition(topic, 0)
    bare.assign([place])
    await bare.commit({place: offset})
    await bare.stop()


async def _committed(connection: KafkaConnection, topic: str, group: str) -> int | None:
    bare = AIOKafkaConsumer(**connection.arguments(), group_id=group, enable_auto_commit=False)
    await bare.start()
    offset: int | None = await bare.committed(TopicPartition(topic, 0))
    await bare.stop()
    return offset


async def test_an_offset_committed_to_the_group_is_never_where_reading_starts(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    await log.append(topic, _messages(6))
    await _commit(connection, topic, "readers", 5)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    assert not await consumer.fetch(records_max=10, timeout_seconds=0.3)  # not sought: not read
    consumer.seek(0, 2)
    assert [record.offset for record in await read(consumer, 4)] == [2, 3, 4, 5]


async def test_what_the_store_has_is_told_to_the_group_for_its_dashboards(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    await log.append(topic, _messages(6))
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    for offset in (1, 3, 4):
        await consumer.commit({0: offset})
    await consumer.close()
    assert await _committed(connection, topic, "readers") == 4


async def test_a_member_that_dies_without_a_word_is_replaced_within_ten_seconds(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection, partitions=4)
    log = open_log(connection)
    first, second = await log.consumer(topic, "readers"), await log.consumer(topic, "readers")
    await _share(first, second)
    dead, first._membership._member = first._membership._member, None
    await abandon_consumer(dead)  # as a kill: nobody leaves the group
    async with asyncio.timeout(10):
        await settled(second, 4)


async def _share(first: KafkaConsumer, second: KafkaConsumer) -> None:
    for _ in range(FETCHES_MAX):
        if len(first.assignment()) == len(second.assignment()) == 2:
            return
        await asyncio.gather(*(c.fetch(records_max=1, timeout_seconds=0.1) for c in (first, second)))
    raise AssertionError("two members do not share four partitions")


async def test_while_a_group_is_shared_out_anew_a_fetch_ends_with_its_timeout(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    """A bare `getmany` waits for the end of the rebalance, which a stuck member delays."""
    topic = await make_topic(connection, partitions=4)
    log = open_log(connection)
    first = await log.consumer(topic, "readers")
    await settled(first, 4)
    stuck = first._membership._member
    assert stuck is not None
    stuck._coordinator._heartbeat_task.cancel()  # it will not hear that a second one wants to join
    second = await log.consumer(topic, "readers")
    async with asyncio.timeout(1.5):
        assert not await second.fetch(records_max=1, timeout_seconds=0.5)
    assert second.assignment() == frozenset()
    async with asyncio.timeout(15):
        await settled(second, 4)


async def test_a_member_whose_coordination_died_joins_anew(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    await log.append(topic, _messages(2))
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    member = consumer._membership._member
    assert member is not None
    member._coordinator._coordination_task.cancel()
    await asyncio.wait([member._coordinator._coordination_task])
    assert is_dead(member)
    await consumer.fetch(records_max=1, timeout_seconds=0.1)
    assert consumer.sought() == frozenset()  # whoever joins anew starts from its store
    await settled(consumer, 1)
    consumer.seek(0, 1)
    assert [record.value for record in await read(consumer, 1)] == [b"1"]


async def test_a_reader_whose_fetching_died_goes_on_where_it_was(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    await log.append(topic, _messages(3))
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    await read(consumer, 3)
    assert consumer._reader is not None
    consumer._reader._fetcher._fetch_task.cancel()
    await asyncio.wait([consumer._reader._fetcher._fetch_task])
    await log.append(topic, [Message(value=b"after", partition=0)])
    assert [(record.offset, record.value) for record in await read(consumer, 1)] == [(3, b"after")]


async def test_a_cancelled_fetch_loses_nothing(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    for turn in range(10):
        fetching = asyncio.create_task(consumer.fetch(records_max=10, timeout_seconds=5))
        appending = asyncio.create_task(log.append(topic, [Message(value=b"%d" % turn, partition=0)]))
        await appending
        fetching.cancel()
        await asyncio.wait([fetching])
        if not fetching.cancelled():
            consumer.seek(0, turn)  # it was told, and may tell it again
        assert [record.value for record in await read(consumer, 1)] == [b"%d" % turn]


async def test_reading_goes_on_by_itself_after_the_broker_was_killed(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection)
    await log.append(topic, _messages(3))
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    await read(consumer, 3)
    own_kafka.kill()
    own_kafka.start()
    writer = open_log(own_connection)
    await writer.append(topic, [Message(value=b"after", partition=0)])
    async with asyncio.timeout(30):
        while True:
            if not consumer.sought() and consumer.assignment():
                consumer.seek(0, 3)  # the group may have been shared out anew
            if found := await consumer.fetch(records_max=10, timeout_seconds=0.2):
                break
    assert [(record.offset, record.value) for record in found[0]] == [(3, b"after")]


async def test_closing_while_the_broker_is_frozen_takes_a_few_seconds_and_leaves_no_task(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    await consumer.fetch(records_max=1, timeout_seconds=0.1)
    before = asyncio.all_tasks()
    own_kafka.freeze()
    async with asyncio.timeout(12):  # a bare `stop` takes as long as a request may, 14 s here
        await consumer.close()
    left = {task for task in before & asyncio.all_tasks() if not task.done()}
    assert left == {asyncio.current_task()}


async def test_records_after_the_marks_of_a_transaction_are_read_and_sought_without_a_gap(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    bare = AIOKafkaProducer(**connection.arguments(), transactional_id=topic)
    await bare.start()
    for value in (b"a", b"b", b"c"):
        async with bare.transaction():
            await bare.send_and_wait(topic, value, partition=0)  # each leaves a control record behind
    await bare.stop()
    consumer = await open_log(connection).consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    records = await read(consumer, 3)
    assert [record.offset for record in records] == [0, 2, 4]
    consumer.seek(0, records[0].offset + 1)  # an offset that holds a control record
    assert [record.value for record in await read(consumer, 2)] == [b"b", b"c"]


async def test_the_end_is_asked_for_not_remembered(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    await consumer.fetch(records_max=1, timeout_seconds=0.1)
    for count in (1, 2, 3):
        await log.append(topic, _messages(1))
        assert await consumer.end(0) == count  # a cached high-water mark would still say 0


async def test_a_topic_that_no_longer_has_the_brokers_time_is_refused(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    created = {"message.timestamp.type": "CreateTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=created)])
    await admin.close()
    await log.append(topic, _messages(1))
    with pytest.raises(SetupError, match="LogAppendTime"):
        await read(consumer, 1)


async def test_a_damaged_batch_stops_its_partition_and_no_record_of_another_is_lost(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    """A bare `getmany` raises it again and again, and drops what it had taken of the others each time."""
    topic = await make_topic(own_connection, partitions=2)
    log = open_log(own_connection)
    await log.append(topic, [*_messages(3, 0), *_messages(500, 1)])
    await log.close()
    own_kafka.stop()
    _damage(own_kafka.directory / "log" / f"{topic}-0" / f"{0:020}.log")
    own_kafka.start()
    consumer = await open_log(own_connection).consumer(topic, "readers")
    await settled(consumer, 2)
    consumer.seek(0, 0)
    consumer.seek(1, 0)
    offsets: list[int] = []
    refusals: list[int | None] = []
    for _ in range(FETCHES_MAX):
        if refusals and len(offsets) == 500:
            break
        try:
            found = await consumer.fetch(records_max=100, timeout_seconds=0.2)
        except Unreadable as error:
            refusals.append(error.partition)
        else:
            offsets += [record.offset for record in found.get(1, ())]
    assert refusals == [0]
    assert offsets == list(range(500))


def _damage(segment: Path) -> None:
    """Turn one bit of the last record's value; the broker passes it on as it is."""
    content = bytearray(segment.read_bytes())
    content[-2] ^= 1
    segment.write_bytes(content)


async def test_what_was_read_belongs_to_nobody_once_the_partition_is_lost(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    consumer = await log.consumer(topic, "readers")
    await settled(consumer, 1)
    consumer.seek(0, 0)
    fetching = asyncio.create_task(consumer.fetch(records_max=10, timeout_seconds=5))
    await until(lambda: consumer._reader is not None and bool(consumer._places))
    consumer._membership.on_partitions_revoked([TopicPartition(topic, 0)])
    await log.append(topic, _messages(2))
    assert not await fetching
    assert consumer.sought() == frozenset()


async def test_everything_is_read_whatever_its_compression(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    bare = AIOKafkaProducer(**connection.arguments(), compression_type="gzip")
    await bare.start()
    await bare.send_and_wait(topic, b"squeezed" * 100, partition=0)
    await bare.stop()
    consumer = await open_log(connection).consumer(topic, "readers")
    await settled(consumer, 1)
    assert [record.value for record in await read_all(consumer)] == [b"squeezed" * 100]
