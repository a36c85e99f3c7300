"""What every log promises: one suite, run on the embedded log and on Apache Kafka."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import LogUnavailable
from shared.log import Consumer, Log, Message, Record
from shared.log.kafka_connection import KafkaConnection
from tests.begun import begun
from tests.contract.log_seams import PARTITIONS, EmbeddedSeam, KafkaSeam, Seam
from tests.log_reading import read_by_partition, refusal, settle
from tests.traces import REQUEST, traced


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def seam(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> AsyncIterator[Seam]:
    async with AsyncExitStack() as stack:
        made: EmbeddedSeam | KafkaSeam
        if request.param == "embedded":
            made = EmbeddedSeam(tmp_path, stack)
        else:
            server = request.getfixturevalue("kafka")
            connection = KafkaConnection(bootstrap_servers=server.bootstrap_servers)
            made = KafkaSeam(connection, topic_name, stack)
        await made.make()
        yield made


@pytest.fixture
def log(seam: Seam) -> Log:
    return seam.open_log()


def _messages(count: int, *, partition: int | None = None, key: bytes | None = None) -> list[Message]:
    return [Message(value=b"%d" % n, partition=partition, key=key) for n in range(count)]


async def _member(log: Log, topic: str, group: str = "readers", *, owning: int = PARTITIONS) -> Consumer:
    """A consumer that owns `owning` partitions."""
    consumer = await log.consumer(topic, group)
    await settle({consumer: owning})
    return consumer


def _values(records: Sequence[Record]) -> list[bytes]:
    return [record.value for record in records]


async def test_records_come_back_in_the_order_they_were_appended_with_consecutive_offsets(
    seam: Seam, log: Log
) -> None:
    for part in range(3):
        await log.append(seam.topic, _messages(10, partition=2)[part * 3 : part * 3 + 3])
    consumer = await _member(log, seam.topic)
    consumer.seek(2, 0)
    found = await read_by_partition(consumer, 9)
    assert _values(found[2]) == [b"%d" % n for n in range(9)]
    assert [record.offset for record in found[2]] == list(range(9))
    assert {record.partition for record in found[2]} == {2}


async def test_key_and_value_come_back_byte_for_byte(seam: Seam, log: Log) -> None:
    hostile = [b"", b"\x00\xff", "予約/顧客-1".encode(), b'{"a":1}' * 1000]
    sent = [Message(key=key, value=value, partition=0) for key in (None, *hostile) for value in hostile]
    await log.append(seam.topic, sent)
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    found = (await read_by_partition(consumer, len(sent)))[0]
    assert [(record.key, record.value) for record in found] == [(m.key, m.value) for m in sent]


async def test_the_context_of_what_asked_for_a_record_comes_back_while_traces_are_made(
    seam: Seam, log: Log
) -> None:
    sent = [Message(value=b"%d" % n, partition=0, traceparent=(None, REQUEST)[n]) for n in range(2)]
    await log.append(seam.topic, sent)
    with traced():
        consumer = await _member(log, seam.topic)
        consumer.seek(0, 0)
        found = (await read_by_partition(consumer, 2))[0]
    assert [record.traceparent for record in found] == [None, REQUEST]


async def test_a_key_stays_in_one_partition_whoever_appends(seam: Seam, log: Log) -> None:
    keys = [b"reserve/c-%d" % n for n in range(40)]
    for writer in (log, seam.open_log()):
        await writer.append(seam.topic, [Message(key=key, value=key) for key in keys])
    consumer = await _member(log, seam.topic)
    for partition in range(PARTITIONS):
        consumer.seek(partition, 0)
    found = await read_by_partition(consumer, 80)
    places = {key: {p for p, records in found.items() if key in _values(records)} for key in keys}
    assert {len(where) for where in places.values()} == {1}
    assert len(found) == PARTITIONS  # 40 keys spread over all


async def test_a_named_partition_is_obeyed_whatever_the_key(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, [Message(key=b"same", value=b"x", partition=p) for p in range(PARTITIONS)])
    consumer = await _member(log, seam.topic)
    assert [await consumer.end(partition) for partition in range(PARTITIONS)] == [1] * PARTITIONS
    assert await log.ends(seam.topic) == dict.fromkeys(range(PARTITIONS), 1)


async def test_a_partition_that_does_not_exist_is_refused(seam: Seam, log: Log) -> None:
    with pytest.raises(ValueError, match="no partition 4"):
        await log.append(seam.topic, _messages(1, partition=PARTITIONS))
    assert await log.partitions(seam.topic) == PARTITIONS


async def test_nothing_to_append_is_no_append(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, [])
    consumer = await _member(log, seam.topic)
    assert [await consumer.end(partition) for partition in range(PARTITIONS)] == [0] * PARTITIONS


async def test_many_appends_at_once_are_each_acknowledged_and_each_written_once(seam: Seam, log: Log) -> None:
    calls = [[Message(value=b"%d/%d" % (call, n), key=b"k%d" % n) for n in range(3)] for call in range(200)]
    await asyncio.gather(*(log.append(seam.topic, messages) for messages in calls))
    consumer = await _member(log, seam.topic)
    for partition in range(PARTITIONS):
        consumer.seek(partition, 0)
    found = await read_by_partition(consumer, 600)
    values = [value for records in found.values() for value in _values(records)]
    assert sorted(values) == sorted(message.value for messages in calls for message in messages)


async def test_an_acknowledged_append_lies_before_the_next_one(seam: Seam, log: Log) -> None:
    other = seam.open_log()
    for turn in range(6):
        await (log, other)[turn % 2].append(seam.topic, [Message(value=b"%d" % turn, partition=1)])
    consumer = await _member(log, seam.topic)
    consumer.seek(1, 0)
    assert _values((await read_by_partition(consumer, 6))[1]) == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_append_time_never_goes_back_within_a_partition(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(1, partition=0))
    if isinstance(seam, EmbeddedSeam):
        seam.clock.advance(timedelta(hours=-2))  # on Kafka the broker's clock is not ours to turn
    await seam.open_log().append(seam.topic, _messages(2, partition=0))
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    times = [record.appended_us for record in (await read_by_partition(consumer, 3))[0]]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000_000_000  # microseconds since the epoch


async def test_nothing_is_read_of_a_partition_that_was_not_sought(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, [*_messages(2, partition=0), *_messages(2, partition=1)])
    consumer = await _member(log, seam.topic)
    assert not await consumer.fetch(records_max=10, timeout_seconds=0.1)
    consumer.seek(1, 0)
    assert set(await read_by_partition(consumer, 2)) == {1}


async def test_a_forgotten_partition_rests_until_it_is_sought_again(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(2, partition=0))
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    assert consumer.sought() == {0}
    consumer.forget(0)
    assert consumer.sought() == frozenset()
    assert not await consumer.fetch(records_max=10, timeout_seconds=0.1)
    consumer.seek(0, 1)
    assert _values((await read_by_partition(consumer, 1))[0]) == [b"1"]


async def test_seeking_back_reads_the_same_records_again(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(5, partition=3))
    consumer = await _member(log, seam.topic)
    consumer.seek(3, 0)
    first = await read_by_partition(consumer, 5)
    consumer.seek(3, 0)
    assert await read_by_partition(consumer, 5) == first


async def test_a_fetch_returns_no_more_than_asked_and_the_next_one_goes_on_where_it_ended(
    seam: Seam, log: Log
) -> None:
    await log.append(seam.topic, _messages(10, partition=0))
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 4)
    sizes: list[int] = []
    offsets: list[int] = []
    while len(offsets) < 6:
        for records in (await consumer.fetch(records_max=4, timeout_seconds=0.2)).values():
            sizes.append(len(records))
            offsets += [record.offset for record in records]
    assert max(sizes) <= 4
    assert offsets == [4, 5, 6, 7, 8, 9]


async def test_a_small_fetch_comes_round_to_every_partition(seam: Seam, log: Log) -> None:
    for partition in range(PARTITIONS):
        await log.append(seam.topic, _messages(20, partition=partition))
    consumer = await _member(log, seam.topic)
    for partition in range(PARTITIONS):
        consumer.seek(partition, 0)
    found = await read_by_partition(consumer, 20 * PARTITIONS, records_max=3)
    assert {partition: _values(records) for partition, records in found.items()} == {
        partition: [b"%d" % n for n in range(20)] for partition in range(PARTITIONS)
    }


async def test_a_waiting_fetch_wakes_up_when_something_is_appended(seam: Seam, log: Log) -> None:
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    waiting = asyncio.create_task(consumer.fetch(records_max=10, timeout_seconds=30))
    await log.append(seam.topic, _messages(1, partition=0))
    async with asyncio.timeout(5):  # far less than the 30 s that the fetch would wait
        assert _values((await waiting)[0]) == [b"0"]


async def test_an_append_by_another_process_is_seen_too(seam: Seam, log: Log) -> None:
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    waiting = asyncio.create_task(consumer.fetch(records_max=10, timeout_seconds=30))
    await seam.open_log().append(seam.topic, _messages(1, partition=0))
    async with asyncio.timeout(5):
        assert _values((await waiting)[0]) == [b"0"]


async def test_a_fetch_that_finds_nothing_ends_with_its_timeout(seam: Seam, log: Log) -> None:
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 0)
    async with asyncio.timeout(5):
        assert not await consumer.fetch(records_max=10, timeout_seconds=0.05)


async def test_where_to_read_is_the_callers_to_say_not_the_groups(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(4, partition=0))
    consumer = await _member(log, seam.topic)
    await consumer.commit({0: 3})
    await consumer.close()
    successor = await _member(log, seam.topic)
    assert not await successor.fetch(records_max=10, timeout_seconds=0.1)
    successor.seek(0, 1)
    assert _values((await read_by_partition(successor, 3))[0]) == [b"1", b"2", b"3"]


async def test_beginning_and_end_follow_the_log(seam: Seam, log: Log) -> None:
    consumer = await _member(log, seam.topic)
    assert (await consumer.beginning(0), await consumer.end(0)) == (0, 0)
    await log.append(seam.topic, _messages(5, partition=0))
    await seam.delete_before(0, 3)
    assert (await consumer.beginning(0), await consumer.end(0)) == (3, 5)


async def test_the_end_of_the_log_is_a_place_to_wait_at(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(2, partition=0))
    consumer = await _member(log, seam.topic)
    consumer.seek(0, 2)
    assert not await consumer.fetch(records_max=10, timeout_seconds=0.1)
    await log.append(seam.topic, [Message(value=b"next", partition=0)])
    assert _values((await read_by_partition(consumer, 1))[0]) == [b"next"]


@pytest.mark.parametrize("offset", [1, 9], ids=["deleted", "not there yet"])
async def test_an_offset_outside_the_log_stops_its_partition_and_no_other(
    seam: Seam, log: Log, offset: int
) -> None:
    await log.append(seam.topic, [*_messages(5, partition=0), *_messages(5, partition=1)])
    await seam.delete_before(0, 3)
    consumer = await _member(log, seam.topic)
    consumer.seek(0, offset)
    consumer.seek(1, 0)
    found: dict[int, Sequence[Record]] = {}
    said = await refusal(consumer, found)
    assert said.partition == 0
    assert f"offset {offset} is not in the log, which keeps 3 to 5" in said.message
    if 1 not in found:
        found |= await read_by_partition(consumer, 5)
    assert _values(found[1]) == [b"0", b"1", b"2", b"3", b"4"]
    assert not await consumer.fetch(records_max=10, timeout_seconds=0.3)  # told once, not again and again


async def test_two_members_of_a_group_share_its_partitions(seam: Seam, log: Log) -> None:
    first = await _member(log, seam.topic)
    second = await log.consumer(seam.topic, "readers")
    await settle({first: 2, second: 2})
    assert first.assignment() | second.assignment() == frozenset(range(PARTITIONS))
    await second.close()
    await settle({first: PARTITIONS})


async def test_two_groups_do_not_know_of_each_other(seam: Seam, log: Log) -> None:
    first = await _member(log, seam.topic, "evaluator")
    second = await _member(log, seam.topic, "notifier")
    assert first.assignment() == second.assignment() == frozenset(range(PARTITIONS))


async def test_after_a_change_of_members_every_partition_has_to_be_sought_anew(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, _messages(3, partition=0))
    first = await _member(log, seam.topic)
    first.seek(0, 0)
    second = await log.consumer(seam.topic, "readers")
    await settle({first: 2, second: 2})
    await second.close()
    await settle({first: PARTITIONS})
    assert first.sought() == frozenset()
    assert not await first.fetch(records_max=10, timeout_seconds=0.3)
    first.seek(0, 2)
    assert _values((await read_by_partition(first, 1))[0]) == [b"2"]


async def test_a_partition_that_is_not_ours_cannot_be_read(seam: Seam, log: Log) -> None:
    await log.append(seam.topic, [Message(value=b"x", partition=p) for p in range(PARTITIONS)])
    first = await _member(log, seam.topic)
    second = await log.consumer(seam.topic, "readers")
    await settle({first: 2, second: 2})
    for partition in range(PARTITIONS):
        first.seek(partition, 0)
    assert set(await read_by_partition(first, 2)) == first.assignment()


async def test_a_log_that_cannot_be_reached_says_so(seam: Seam) -> None:
    nowhere = seam.open_unreachable_log()
    with pytest.raises(LogUnavailable):
        await nowhere.append(seam.topic, _messages(1, partition=0))
    with pytest.raises(LogUnavailable):
        await nowhere.check()


async def test_a_log_that_can_be_reached_checks_out(log: Log) -> None:
    await log.check()


async def test_what_does_not_fit_is_refused_at_once_and_fits_again_later(seam: Seam) -> None:
    log = seam.open_log(bytes_waiting_max=1000)
    big = [Message(value=b"x" * 900, partition=0)]
    await log.partitions(seam.topic)  # so that all three calls below are taken in the same breath
    outcomes = await asyncio.gather(*(log.append(seam.topic, big) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LogUnavailable, LogUnavailable]
    await log.append(seam.topic, big)


async def test_a_caller_that_gives_up_takes_no_room_and_harms_no_other(seam: Seam, log: Log) -> None:
    await log.partitions(seam.topic)
    given_up, kept = await begun(
        *(log.append(seam.topic, [Message(value=value, partition=0)]) for value in (b"given up", b"kept"))
    )
    given_up.cancel()
    await kept
    consumer = await _member(log, seam.topic)
    consumer.seek(0, (await consumer.end(0)) - 1)
    assert _values((await read_by_partition(consumer, 1))[0]) == [b"kept"]


async def test_closing_twice_is_closing_once(seam: Seam, log: Log) -> None:
    consumer = await _member(log, seam.topic)
    await consumer.close()
    await consumer.close()
    assert consumer.assignment() == frozenset()
    with pytest.raises(LogUnavailable, match="closed"):
        await consumer.fetch(records_max=1, timeout_seconds=0.01)
    await log.close()
    await log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await log.append(seam.topic, _messages(1, partition=0))


async def test_closing_waits_for_what_was_taken(seam: Seam, log: Log) -> None:
    await log.partitions(seam.topic)
    [appending] = await begun(log.append(seam.topic, _messages(3, partition=0)))
    await log.close()
    await appending
    consumer = await _member(seam.open_log(), seam.topic)
    assert await consumer.end(0) == 3
