"""What is in the outbox reaches the log at least once, in each customer's order, and is then marked."""

import asyncio
from pathlib import Path

from services.evaluator.changes import Batch, OutboxRow
from services.evaluator.relay import Relay
from services.evaluator.store import EvaluatorStore
from shared.database import Database
from shared.errors import StoreUnavailable
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS, record_key
from tests.unit.evaluator.pipeline import Pipeline, pipeline


async def put(p: Pipeline, *names: str, topic: str = TOPIC_TRIGGERS, partition: int = 0) -> None:
    """Messages of customer `c` into the outbox."""
    position = await p.store.claim(partition, beginning=0, now_us=0)
    rows = tuple(OutboxRow(id=n, topic=topic, product="p", customer_id="c", value=n.encode()) for n in names)
    await p.store.write(Batch(expected_offset=position.next_offset, position=position, outbox=rows), now_us=0)


def relay_of(p: Pipeline, *partitions: int, rows_max: int = 500) -> Relay:
    return Relay(
        store=p.store,
        log=p.log,
        clock=p.clock,
        partitions=lambda: frozenset(partitions or (0,)),
        rows_max=rows_max,
    )


def sent(p: Pipeline, topic: str = TOPIC_TRIGGERS) -> list[str]:
    return [record.value.decode() for record in p.log.records(topic)]


async def test_messages_are_sent_in_order_to_their_topic_and_key(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-1", "t-2", "t-3")
        await put(p, "d-1", topic=TOPIC_DEAD_LETTERS)
        assert await relay_of(p).step()
        assert sent(p) == ["t-1", "t-2", "t-3"]
        assert sent(p, TOPIC_DEAD_LETTERS) == ["d-1"]
        assert {record.key for record in p.log.records(TOPIC_TRIGGERS)} == {record_key("p", "c")}
        assert not await relay_of(p).step()


async def test_what_waits_is_sent_in_bounded_parts(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, *(f"t-{n}" for n in range(5)))
        relay = relay_of(p, rows_max=2)
        assert [await relay.step() for _ in range(4)] == [True, True, True, False]
        assert sent(p) == [f"t-{n}" for n in range(5)]


async def test_only_the_partitions_that_are_ours_are_relayed(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-0", partition=0)
        await put(p, "t-1", partition=1)
        await relay_of(p, 1).step()
        assert sent(p) == ["t-1"]


async def test_without_the_log_s_acknowledgement_nothing_is_marked(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-1", "t-2")
        relay = relay_of(p)
        p.log.fail_next(2)
        assert not await relay.step()
        assert relay.problem() == "the log did not acknowledge in time"
        p.log.fail_next(0)
        assert await relay.step()
        assert relay.problem() is None
        assert sent(p) == ["t-1", "t-2"]


async def test_in_doubt_whether_the_log_has_it_it_is_sent_again_with_the_same_value(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-1")
        relay = relay_of(p)
        p.log.fail_next(1, is_in_doubt=True)
        await relay.step()
        await relay.step()
        assert sent(p) == ["t-1", "t-1"]


class _Forgetful(EvaluatorStore):
    """Cannot mark anything, once."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.failure_count = 1

    async def mark_sent(self, seqs: object, *, now_us: int) -> None:
        if self.failure_count:
            self.failure_count -= 1
            raise StoreUnavailable("the database does not answer")
        await super().mark_sent(seqs, now_us=now_us)  # type: ignore[arg-type]


async def test_what_could_not_be_marked_is_sent_again(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-1")
        relay = Relay(
            store=_Forgetful(p.database), log=p.log, clock=p.clock, partitions=lambda: frozenset({0})
        )
        assert not await relay.step()
        assert await relay.step()
        assert not await relay.step()
        assert sent(p) == ["t-1", "t-1"]


async def test_a_topic_that_cannot_be_written_does_not_hold_up_the_other(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await put(p, "t-1")
        await put(p, "d-1", topic=TOPIC_DEAD_LETTERS)
        p.log.fail_next(1)
        relay = relay_of(p)
        assert await relay.step()
        assert sent(p) == []
        assert sent(p, TOPIC_DEAD_LETTERS) == ["d-1"]
        await relay.step()
        assert sent(p) == ["t-1"]


async def test_two_relays_at_once_lose_nothing(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        names = [f"t-{n}" for n in range(20)]
        await put(p, *names)
        relays = [relay_of(p, rows_max=3) for _ in range(2)]
        while any(await asyncio.gather(*(relay.step() for relay in relays))):
            pass
        assert sorted(set(sent(p))) == sorted(names)
        assert not await relays[0].step()


async def test_running_it_sends_whatever_it_is_woken_for_until_told_to_stop(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        relay = relay_of(p)
        stop = asyncio.Event()
        consumer = await p.log.consumer(TOPIC_TRIGGERS, "reader")
        consumer.seek(0, 0)
        running = asyncio.create_task(relay.run(stop))
        for name in ("t-1", "t-2", "t-3", "t-4"):
            await put(p, name)
            relay.wake()
            assert await consumer.fetch(records_max=1, timeout_seconds=5)
        stop.set()
        await asyncio.wait_for(running, 5)
        assert sent(p) == ["t-1", "t-2", "t-3", "t-4"]
