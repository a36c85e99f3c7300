"""Messages become records of batches as they come: in order, within bounds, and sent while anybody waits."""

import asyncio

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from shared.errors import LogUnavailable
from shared.log import Message
from shared.log.aiokafka_inside import append_records
from shared.log.kafka_lanes import BATCH_BYTES_MAX, Call, Lane, parted

AT_MS = 1_700_000_000_000
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lane() -> Lane:
    return Lane("usage.events", 0)


def call_of(message_count: int) -> Call:
    return Call(asyncio.get_running_loop().create_future(), message_count, AT_MS)


def numbered(count: int, size: int = 8) -> list[Message]:
    return [Message(value=b"%0*d" % (size, number), key=b"c-%d" % number) for number in range(count)]


def values(builder: BatchBuilder) -> list[bytes | None]:
    records = MemoryRecords(bytes(builder._build()))
    return [record.value for record in records.next_batch()]


def test_records_are_those_that_aiokafka_itself_makes_byte_for_byte():
    messages = [
        Message(value=b"of a customer", key=b"reserve/c-1"),
        Message(value=b"of nobody"),
        Message(value=b"traced", key=b"reserve/c-2", traceparent=TRACEPARENT),
    ]
    ours, theirs = BatchBuilder(BATCH_BYTES_MAX, 0), BatchBuilder(BATCH_BYTES_MAX, 0)
    assert append_records(ours, messages, AT_MS) == len(messages)
    for message in messages:
        headers = [("traceparent", message.traceparent.encode())] if message.traceparent else []
        theirs.append(timestamp=AT_MS, key=message.key, value=message.value, headers=headers)
    assert ours.record_count() == theirs.record_count()
    assert bytes(ours._build()) == bytes(theirs._build())


async def test_what_one_batch_has_no_room_for_goes_into_the_next_in_order(lane: Lane) -> None:
    messages = numbered(10, size=BATCH_BYTES_MAX // 4)
    lane.add(call_of(len(messages)), messages)
    batches = list(lane.waiting)
    assert len(batches) > 2
    assert all(batch.builder.size() <= BATCH_BYTES_MAX for batch in batches)
    assert [value for batch in batches for value in values(batch.builder)] == [m.value for m in messages]


async def test_a_record_larger_than_a_batch_goes_alone(lane: Lane) -> None:
    large = Message(value=b"x" * (2 * BATCH_BYTES_MAX))
    lane.add(call_of(3), [*numbered(1), large, *numbered(1)])
    assert [len(values(batch.builder)) for batch in lane.waiting] == [1, 1, 1]


async def test_calls_that_come_while_a_batch_is_on_its_way_share_the_next(lane: Lane) -> None:
    calls = [call_of(1) for _ in range(4)]
    lane.add(calls[0], numbered(1))
    sent = lane.next()
    for call in calls[1:]:
        lane.add(call, numbered(1))
    assert lane.in_flight is sent
    assert [[call for call, _ in batch.shares] for batch in lane.waiting] == [calls[1:]]


async def test_a_call_is_acknowledged_with_the_last_of_its_batches(lane: Lane) -> None:
    messages = numbered(3, size=BATCH_BYTES_MAX)
    call = call_of(len(messages))
    lane.add(call, messages)
    seen = []
    while lane.next() is not None:
        lane.arrived()
        seen.append(call.acknowledgement.done())
    assert seen == [False, False, True]


async def test_a_batch_is_sent_as_long_as_anybody_waits_for_it(lane: Lane) -> None:
    given_up, patient = call_of(1), call_of(1)
    lane.add(given_up, numbered(1))
    lane.add(patient, numbered(1))
    given_up.failed(LogUnavailable("too late"))
    assert lane.next() is not None
    lane.arrived()
    assert patient.acknowledgement.done()


async def test_a_batch_that_nobody_waits_for_is_not_sent(lane: Lane) -> None:
    given_up = call_of(1)
    lane.add(given_up, numbered(1))
    given_up.failed(LogUnavailable("too late"))
    assert lane.next() is None
    assert lane.in_flight is None


async def test_a_failure_is_told_to_those_on_their_way_and_leaves_those_who_wait(lane: Lane) -> None:
    sent, waiting = call_of(1), call_of(1)
    lane.add(sent, numbered(1))
    lane.next()
    lane.add(waiting, numbered(1))
    lane.fail_in_flight(LogUnavailable("gone"))
    assert isinstance(sent.acknowledgement.exception(), LogUnavailable)
    assert list(lane.calls()) == [waiting]


def test_messages_are_parted_in_their_order():
    messages = numbered(6)
    parts = parted(messages, [0, 1, 0, 2, 1, 0])
    assert {partition: [m.value[-1:] for m in part] for partition, part in parts.items()} == {
        0: [b"0", b"2", b"5"],
        1: [b"1", b"4"],
        2: [b"3"],
    }
