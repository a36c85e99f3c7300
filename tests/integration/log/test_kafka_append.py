"""The traps of a producing client, each shown and each designed around (decision record 0011)."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber

from shared.errors import LogUnavailable, PermanentError
from shared.log import Message
from shared.log.aiokafka_inside import abandon_producer, start_producer
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection
from tests.begun import begun
from tests.integration.log.conftest import MakeTopic, OpenLog
from tests.log_reading import read_all, settled, until
from tests.servers import KafkaServer, find_kafka
from tests.servers.base import free_port
from tests.servers.fixtures import until_closed
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.kafka


async def _values(log: KafkaLog, topic: str, partition_count: int = 1) -> list[bytes]:
    consumer = await log.consumer(topic, "check")
    await settled(consumer, partition_count)
    return [record.value for record in await read_all(consumer)]


def _is_produce(chunk: bytes) -> bool:
    """Whether a chunk starts with a Produce request: its length, then API key 0."""
    return len(chunk) > 200 and chunk[4:6] == b"\x00\x00"


def _producer(log: KafkaLog) -> AIOKafkaProducer:
    producer = log._appender._producer
    assert producer is not None
    return producer


async def _eventually_appends(log: KafkaLog, topic: str, value: bytes) -> None:
    """Try again, as a product's client does, until it is acknowledged."""
    async with asyncio.timeout(30):
        while True:
            try:
                await log.append(topic, [Message(value=value, partition=0)])
            except LogUnavailable:
                await until(lambda: log._appender._down is None)
            else:
                return


@pytest.fixture
def proxied_ports() -> tuple[int, int]:
    """Where the broker listens for the proxy, and where the broker tells its clients to go."""
    return free_port(), free_port()


@pytest.fixture
def proxied_kafka(proxied_ports: tuple[int, int]) -> Iterator[KafkaServer]:
    behind, before = proxied_ports
    properties = {
        "listeners": f"PROXIED://127.0.0.1:{behind}",
        "advertised.listeners": f"PROXIED://127.0.0.1:{before}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    yield from until_closed(lambda: find_kafka(properties))


async def test_an_answer_that_is_lost_is_asked_for_again_and_the_records_are_there_once(
    proxied_kafka: KafkaServer, proxied_ports: tuple[int, int], make_topic: MakeTopic, open_log: OpenLog
) -> None:
    behind, before = proxied_ports
    direct = KafkaConnection(bootstrap_servers=proxied_kafka.bootstrap_servers)
    topic = await make_topic(direct)
    async with Proxy(behind, port=before) as proxy:
        log = open_log(KafkaConnection(bootstrap_servers=f"127.0.0.1:{before}"))
        await log.append(topic, [Message(value=b"first", partition=0)])
        proxy.lose_answer_to(_is_produce)
        await log.append(topic, [Message(value=b"x" * 300, partition=0)])
        assert proxy.lost_count == 1
        await log.close()
    assert await _values(open_log(direct), topic) == [b"first", b"x" * 300]


async def test_a_frozen_broker_is_unavailable_within_the_timeout_and_recovers_by_itself(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection, append_timeout_seconds=1.0)
    await log.append(topic, [Message(value=b"before", partition=0)])
    own_kafka.freeze()
    async with asyncio.timeout(3):
        with pytest.raises(LogUnavailable):
            await log.append(topic, [Message(value=b"unknown", partition=0)])
    own_kafka.thaw()
    await _eventually_appends(log, topic, b"after")
    values = await _values(log, topic)
    assert [value for value in values if value != b"unknown"] == [b"before", b"after"]


async def test_while_no_broker_answers_appends_are_refused_at_once_and_nothing_piles_up(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection, append_timeout_seconds=1.0)
    await log.append(topic, [Message(value=b"before", partition=0)])
    own_kafka.kill()
    with pytest.raises(LogUnavailable):
        await log.append(topic, [Message(value=b"lost", partition=0)])
    while log._appender._down is None:
        with pytest.raises(LogUnavailable):
            await log.check()
    async with asyncio.timeout(1):
        for _ in range(1000):
            with pytest.raises(LogUnavailable):
                await log.append(topic, [Message(value=b"x" * 10_000, partition=0)])
    assert log._appender._room.bytes_waiting == 0
    assert not any(lane.waiting for lane in log._appender._lanes.values())


async def test_what_was_acknowledged_survives_a_killed_broker_in_order(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection, append_timeout_seconds=2.0)
    acknowledged: list[bytes] = []
    enough = asyncio.Event()

    async def write() -> None:
        for number in count():
            value = b"%d" % number
            await _eventually_appends(log, topic, value)
            acknowledged.append(value)
            if enough.is_set():
                return

    writing = asyncio.create_task(write())
    await until(lambda: len(acknowledged) > 20)
    own_kafka.kill()
    own_kafka.start()
    before_count = len(acknowledged)
    await until(lambda: len(acknowledged) > before_count + 20)
    enough.set()
    await writing
    values = await _values(log, topic)
    first_seen = list(dict.fromkeys(values))
    assert first_seen == acknowledged


async def test_a_gap_in_the_sequence_numbers_ends_the_producer_and_not_the_log(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    await log.append(topic, [Message(value=b"before", partition=0)])
    gone = _producer(log)
    [place] = gone._txn_manager._sequence_numbers
    gone._txn_manager.increment_sequence_number(place, 7)
    with pytest.raises(LogUnavailable, match="OutOfOrderSequenceNumber"):
        await log.append(topic, [Message(value=b"refused", partition=0)])
    await _eventually_appends(log, topic, b"after")
    assert _producer(log) is not gone
    assert await _values(log, topic) == [b"before", b"after"]


async def test_what_went_with_a_producer_given_up_does_not_end_the_next_one(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection, append_timeout_seconds=1.0)
    caller = await _begun_at_a_frozen_broker(own_kafka, log, topic)
    [lane] = log._appender._lanes.values()
    await until(lambda: lane.in_flight is not None)
    gone = lane.in_flight
    assert gone is not None
    with pytest.raises(LogUnavailable):
        await caller
    own_kafka.thaw()
    await _eventually_appends(log, topic, b"after")
    in_use = _producer(log)
    log._appender._on_overdue(lane, gone)
    await log.append(topic, [Message(value=b"later", partition=0)])
    assert _producer(log) is in_use


async def test_left_alone_a_producer_with_a_gap_never_sends_again(
    connection: KafkaConnection, make_topic: MakeTopic
) -> None:
    """The trap itself: without a new producer the one above would refuse every batch from then on."""
    topic = await make_topic(connection)
    bare = AIOKafkaProducer(**connection.arguments(), enable_idempotence=True)
    await start_producer(bare)
    await bare.send_and_wait(topic, b"before", partition=0)
    [place] = bare._txn_manager._sequence_numbers
    bare._txn_manager.increment_sequence_number(place, 7)
    for _ in range(3):
        with pytest.raises(OutOfOrderSequenceNumber):
            await bare.send_and_wait(topic, b"refused", partition=0)
    await abandon_producer(bare)


async def test_a_sender_task_that_died_is_replaced(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection, append_timeout_seconds=1.0)
    await log.append(topic, [Message(value=b"before", partition=0)])
    _producer(log)._sender.sender_task.cancel()
    await _eventually_appends(log, topic, b"after")
    assert (await _values(log, topic))[-1] == b"after"


async def test_a_thousand_appends_to_one_partition_at_once_all_arrive(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection, append_timeout_seconds=2.0)
    sent = [b"%d" % n for n in range(1000)]
    await asyncio.gather(*(log.append(topic, [Message(value=value, partition=0)]) for value in sent))
    assert await _values(log, topic) == sent


async def test_concurrent_batches_through_a_bare_client_time_out_falsely(
    connection: KafkaConnection, make_topic: MakeTopic
) -> None:
    """The trap itself: each waits far less than the 3 s that it is told it has waited."""
    topic = await make_topic(connection)
    bare = AIOKafkaProducer(**connection.arguments(), enable_idempotence=True, request_timeout_ms=3000)
    await start_producer(bare)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    outcomes = await asyncio.gather(*(_send_one(bare, topic) for _ in range(400)), return_exceptions=True)
    waited_seconds = loop.time() - started_at
    await bare.flush()
    await abandon_producer(bare)
    assert KafkaTimeoutError in {type(outcome) for outcome in outcomes}
    assert waited_seconds < 3


async def _begun_at_a_frozen_broker(kafka: KafkaServer, log: KafkaLog, topic: str) -> asyncio.Task[None]:
    """An append under way to a broker that took the one before, and answers no more until it thaws."""
    await log.append(topic, [Message(value=b"before", partition=0)])
    kafka.freeze()
    [caller] = await begun(log.append(topic, [Message(value=b"unknown", partition=0)]))
    return caller


async def _send_one(producer: AIOKafkaProducer, topic: str) -> None:
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"x")
    batch.close()
    await producer.send_batch(batch, topic, partition=0)


async def test_closing_while_the_broker_is_frozen_takes_no_longer_than_its_callers_wait(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(own_connection)
    log = open_log(own_connection, append_timeout_seconds=1.0)
    caller = await _begun_at_a_frozen_broker(own_kafka, log, topic)
    async with asyncio.timeout(8):
        await log.close()
    with pytest.raises(LogUnavailable):
        await caller
    assert _tasks_of_aiokafka() == []


async def test_a_bare_client_with_something_to_send_does_not_stop_while_the_broker_is_frozen(
    own_kafka: KafkaServer, own_connection: KafkaConnection, make_topic: MakeTopic
) -> None:
    """The trap itself: an idempotent batch never expires, and `stop` waits for it."""
    topic = await make_topic(own_connection)
    bare = AIOKafkaProducer(**own_connection.arguments(), enable_idempotence=True)
    await start_producer(bare)
    await bare.send_and_wait(topic, b"before", partition=0)
    own_kafka.freeze()
    await bare.send(topic, b"stuck", partition=0)
    stopping = asyncio.create_task(bare.stop())
    done, _ = await asyncio.wait([stopping], timeout=6)
    assert not done
    stopping.cancel()
    await asyncio.wait([stopping])
    await abandon_producer(bare)


async def test_a_record_too_large_is_refused_without_harm_to_those_beside_it(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    topic = await make_topic(connection)
    log = open_log(connection)
    beside = asyncio.create_task(log.append(topic, [Message(value=b"beside", partition=0)]))
    with pytest.raises(PermanentError, match="1000001 bytes") as said:
        await log.append(topic, [Message(value=b"x" * 1_000_001, partition=0)])
    assert said.value.code == "too_large"
    await beside
    await log.append(topic, [Message(value=b"y" * 1_000_000, partition=0)])
    assert [len(value) for value in await _values(log, topic)] == [6, 1_000_000]


async def test_every_replica_in_sync_has_to_acknowledge(
    connection: KafkaConnection, make_topic: MakeTopic, open_log: OpenLog
) -> None:
    log = open_log(connection)
    await log.append(await make_topic(connection), [Message(value=b"x", partition=0)])
    assert _producer(log)._sender._acks == -1
    assert _producer(log)._txn_manager is not None


def _tasks_of_aiokafka() -> list[str]:
    return [
        task.get_coro().__qualname__  # type: ignore[union-attr]
        for task in asyncio.all_tasks()
        if "aiokafka" in task.get_coro().cr_code.co_filename  # type: ignore[union-attr]
    ]
