"""The evaluator reads, judges and writes what it should, whatever the log, the group or the database do."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.evaluator import folding
from services.evaluator.changes import CustomerRow
from services.evaluator.rules import compile_product
from services.evaluator.state import decode_state, encode_state
from services.evaluator.worker import GROUP
from shared.config import Config
from shared.errors import StoreUnavailable, TransientError
from shared.events import TOPIC_EVENTS, Profile, ProfileChanged, Tick, decode, encode, record_key
from shared.log import Message, Record
from tests.fakes.log import MemoryConsumer
from tests.unit.evaluator.pipeline import RULES, Pipeline, instant_us, pipeline, products_of

HOUR = timedelta(hours=1)


async def use_daily(p: Pipeline, *customers: str, days: int) -> None:
    """Every customer uses the product at noon on each of the first days."""
    for day in range(days):
        p.at(day, 12)
        for customer in customers:
            await p.use(customer)
    await p.settle()


async def state_of(p: Pipeline, customer: str) -> Any:
    row = await p.store.customer("p", customer)
    return None if row is None else decode_state(row.state)


# Judging by the log's time


async def test_a_missed_day_is_told_at_the_first_tick_after_its_cutoff(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        p.at(2)
        await p.settle()
        assert p.told() == []  # the cutoff itself has not passed
        p.at(2, 0, 1)
        await p.settle()
        assert p.told() == [("a", "usage.stopped", "2026-03-03")]
        assert p.triggers()[0].data.decided_at == "2026-03-04T00:01:00Z"


async def test_use_in_the_log_before_the_tick_counts_however_late_it_is_read(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        p.at(1, 23, 59)
        await p.use("a")
        for day in range(2, 5):
            p.at(day, 3)
            await p.tick()
            p.at(day, 12)
            await p.use("a")
        p.at(9)  # days later somebody reads all of that
        await p.drain()
        assert p.told() == []


async def test_a_clock_ahead_of_the_log_s_moves_nothing_forward(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        p.at(1, 23)
        await p.tick(ahead=timedelta(hours=2))
        await p.drain()
        await p.relay.step()
        assert p.told() == []
        assert p.evaluator.problems() == ("usage.events/0: our clock is +7200 s from the log's",)
        p.at(1, 23, 1)
        await p.tick()
        await p.drain()
        assert p.evaluator.problems() == ()


async def test_a_clock_behind_the_log_s_only_delays_and_is_told(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        p.at(2, 1)
        await p.tick(ahead=-2 * HOUR)
        await p.drain()
        await p.relay.step()
        assert p.told() == []
        assert "-7200 s" in p.evaluator.problems()[0]


async def test_after_a_long_absence_days_are_caught_up_in_order_and_each_once(tmp_path: Path) -> None:
    rules = {"stopped": {"kind": "absence", "expect": "calendar", "again_after_days": [2, 3, 4]}}
    async with pipeline(tmp_path, products=products_of(rules)) as p:
        await use_daily(p, "a", days=1)
        p.at(4, 23)
        await p.settle()
        await p.settle()
        assert [day for _, _, day in p.told()] == ["2026-03-03", "2026-03-04", "2026-03-05"]


# Batches


async def test_a_second_event_of_the_day_costs_neither_a_load_nor_a_write(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 9)
        await p.use("a")
        await p.drain()
        batches, loaded = len(p.store.batches), len(p.store.loaded)
        for minute in range(50):
            await p.use("a", event_id=str(minute))
            await p.drain()
        assert len(p.store.batches) == batches
        assert len(p.store.loaded) == loaded


async def test_records_that_change_nothing_move_the_stored_offset_within_a_second_or_so(
    tmp_path: Path,
) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 9)
        await p.use("a")
        await p.use("a")
        await p.drain()
        await p.use("a")
        await p.drain()
        assert await p.position() == 2
        p.clock.advance(timedelta(seconds=1))
        await p.drain()
        assert await p.position() == 3


async def test_customers_are_forgotten_beyond_the_bound_and_loaded_again(tmp_path: Path) -> None:
    async with pipeline(tmp_path, cached_customers_max=4, records_per_fetch_max=2) as p:
        await use_daily(p, *(f"c-{n}" for n in range(40)), days=3)
        memory = p.evaluator._owned[0].memory
        assert memory is not None
        assert len(memory.cache) <= 6
        assert len(p.store.loaded) == 3 * 40
        assert [kind for _, kind, _ in p.told()] == ["habit.formed"] * 40


async def test_the_group_hears_of_offsets_only_after_they_are_stored(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        p.clock.advance(timedelta(seconds=10))
        await p.drain()
        assert p.log.committed[TOPIC_EVENTS, GROUP, 0] == await p.position() == 3


# Sweeps


async def test_a_sweep_goes_in_parts_and_lets_events_through_but_no_time(tmp_path: Path) -> None:
    names = [f"c-{n}" for n in range(10)]
    async with pipeline(tmp_path, customers_per_sweep_max=3) as p:
        await use_daily(p, *names, days=1)
        p.at(2, 1)
        await p.tick()
        await p.evaluator.step()
        assert p.evaluator.awaiting_ticks() == {}
        await p.use("new")
        p.at(4, 1)
        await p.tick()  # another evaluator's, say
        await p.use("newer")
        await p.evaluator.step()
        assert await state_of(p, "new") is not None
        assert await state_of(p, "newer") is None
        await p.drain()
        assert await state_of(p, "newer") is not None
        assert [n for n in p.store.swept if n] == [3, 3, 3, 1, 1]
        await p.relay.step()
        assert {t.data.decided_at for t in p.triggers() if t.data.customer.id in names} == {
            "2026-03-04T01:00:00Z"
        }


async def test_a_sweep_broken_off_by_a_crash_is_taken_up_at_the_same_time(tmp_path: Path) -> None:
    names = [f"c-{n}" for n in range(10)]
    async with pipeline(tmp_path, customers_per_sweep_max=3) as p:
        await use_daily(p, *names, days=1)
        p.at(2, 1)
        await p.tick()
        await p.evaluator.step()
        p.at(3, 1)
        p.restart()
        await p.drain()
        await p.relay.step()
        assert sorted(customer for customer, _, _ in p.told()) == names
        assert {t.data.decided_at for t in p.triggers()} == {"2026-03-04T01:00:00Z"}


async def test_nobody_is_looked_for_where_nobody_can_be_due(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        p.store.swept.clear()
        for minute in range(1, 60):
            p.at(0, 13, minute)
            await p.settle()
        assert p.store.swept == []


async def test_a_day_excused_takes_back_what_was_told_of_it_at_once(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", "b", days=1)
        p.at(1, 12)
        await p.use("b")
        p.at(2, 1)
        await p.settle()
        await p.excuse(1)
        await p.drain()
        await p.relay.step()
        assert p.told() == [
            ("a", "usage.stopped", "2026-03-03"),
            ("a", "usage.stopped.retracted", "2026-03-03"),
        ]


async def test_a_day_excused_beforehand_is_not_missed_also_after_a_restart(tmp_path: Path) -> None:
    async with pipeline(tmp_path, partitions=2) as p:
        await use_daily(p, "a", "b", "c", days=1)
        await p.excuse(1)
        await p.drain()
        p.restart()
        p.at(2, 1)
        await p.settle()
        assert p.told() == []


async def test_with_a_rule_added_everybody_is_looked_at_though_nobody_was_waited_for(tmp_path: Path) -> None:
    streaks = {"habit": RULES["habit"]}
    async with pipeline(tmp_path, products=products_of(streaks)) as p:
        await use_daily(p, "a", days=2)
        p.at(3, 12)
        await p.use("a")
        await p.settle()
        p.at(3, 13)
        await p.settle()
        p.restart(products=products_of())
        await p.drain()
        p.at(4, 1)
        await p.settle()
        assert p.told() == []  # the day missed before the rule was known stays untold
        p.at(5, 1)
        await p.settle()
        assert p.told() == [("a", "usage.stopped", "2026-03-06")]


async def test_customers_of_a_product_no_longer_configured_wait_for_its_return(tmp_path: Path) -> None:
    async with pipeline(tmp_path, products=products_of(RULES, "q")) as p:
        p.at(0, 12)
        await p.use("a", product="q")
        await p.settle()
        p.restart(products=products_of())
        p.at(2, 1)
        await p.settle()
        assert p.told() == []
        p.restart(products=products_of(RULES, "q"))
        await p.drain()
        p.at(2, 2)
        await p.settle()
        assert p.told() == [("a", "usage.stopped", "2026-03-03")]


# Forgetting


async def test_an_erased_customer_is_gone_and_may_begin_anew(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", "b", days=3)
        await p.erase("a")
        await p.drain()
        assert await state_of(p, "a") is None
        assert await p.store.triggers("p", "a", rows_max=9) == []
        assert len(await p.store.triggers("p", "b", rows_max=9)) == 1
        p.at(3, 12)
        await p.use("a")
        await p.drain()
        assert (await state_of(p, "a")).base == 739680  # 2026-03-05, its first day now


async def test_what_one_batch_tells_before_an_erasure_is_not_kept(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        for day in range(3):
            p.at(day, 12)
            await p.use("a")
        await p.erase("a")
        await p.settle()
        assert p.told() == []
        assert await state_of(p, "a") is None


# What cannot be taken


async def test_poison_is_put_aside_with_its_place_and_the_partition_goes_on(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        await p.use("a")
        for value in (b"\xff\xfe", b"", b'{"kind":"event"}', b'{"kind":"new"}', b"[" * 100_000, b'"\\ud800"'):
            await p.poison(value)
        await p.use("b")
        await p.settle()
        assert [(d.reason, d.origin) for d in p.dead_letters()] == [
            ("poison", f"usage.events/0/{n}") for n in range(1, 7)
        ]
        assert p.dead_letters()[0].payload == "\\xff\\xfe"
        assert p.dead_letters()[0].rejected_us == instant_us(0, 12)
        assert await state_of(p, "b") is not None


async def test_too_much_poison_in_a_row_stops_its_partition_alone(tmp_path: Path) -> None:
    async with pipeline(tmp_path, partitions=2) as p:
        await p.log.append(
            TOPIC_EVENTS, [Message(value=b"?", partition=0)] * (folding.POISON_IN_A_ROW_MAX + 5)
        )
        p.at(0, 12)
        for name in ("a", "b", "c", "d"):
            await p.use(name)
        await p.drain()
        assert "usage.events/0 is stopped" in p.evaluator.problems()[0]
        assert await p.position(0) == 0
        assert await p.position(1) == len(p.log.records(TOPIC_EVENTS, 1)) > 0
        assert 0 not in p.evaluator.awaiting_ticks()
        assert 0 in p.evaluator.partitions()  # what it told before is still relayed


async def test_too_many_records_that_the_core_cannot_take_stop_the_partition(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await p.use("a")
        profile = Profile(time_zone="Mars/Olympus")
        changed = ProfileChanged(product="p", customer_id="a", profile=profile, received_us=1)
        for _ in range(folding.POISON_IN_A_ROW_MAX):
            await p.append(changed)
        await p.drain()
        assert "is stopped" in p.evaluator.problems()[0]


async def test_poison_between_good_records_never_stops_anything(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        for _ in range(3):
            await p.poison(count=folding.POISON_IN_A_ROW_MAX - 1)
            await p.use("a")
        await p.drain()
        assert p.evaluator.problems() == ()
        assert await p.position() == 3 * folding.POISON_IN_A_ROW_MAX


async def test_a_profile_that_no_store_can_hold_is_put_aside_and_the_customer_stays(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        await p.profile("a", name="Sakura")
        await p.profile("a", name="Momiji", properties={"n": 10**30})
        await p.use("a")
        await p.settle()
        assert [letter.reason for letter in p.dead_letters()] == ["poison"]
        state = await state_of(p, "a")
        assert (state.profile.name, bool(state.active)) == ("Sakura", True)


async def test_an_event_of_an_unknown_product_is_put_aside(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await p.use("a", product="typo")
        await p.settle()
        letter = p.dead_letters()[0]
        assert (letter.reason, letter.product, letter.customer_id) == ("unknown_product", "typo", "a")


@pytest.mark.parametrize(("ago", "reason"), [(timedelta(days=36), "too_old"), (-HOUR, "in_future")])
async def test_an_event_out_of_time_is_put_aside_with_its_reason(
    tmp_path: Path, ago: timedelta, reason: str
) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        await p.use("a")
        await p.drain()
        await p.use("a", ago=ago)
        await p.settle()
        letter = p.dead_letters()[0]
        assert (letter.reason, letter.customer_id, letter.origin) == (reason, "a", "usage.events/0/1")


async def test_a_record_whose_key_names_somebody_else_is_poison(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        value = encode(p.event("a"))
        await p.log.append(TOPIC_EVENTS, [Message(value=value, key=record_key("p", "b"))])
        await p.settle()
        assert [letter.reason for letter in p.dead_letters()] == ["poison"]
        assert await state_of(p, "a") is None


async def test_a_customer_of_another_partition_is_not_written_from_here(tmp_path: Path) -> None:
    async with pipeline(tmp_path, partitions=2) as p:
        p.at(0, 12)
        await p.use("a")
        await p.drain()
        before = await p.store.customer("p", "a")
        assert before is not None
        elsewhere = 1 - before.partition
        misplaced = Message(
            value=encode(p.event("a", ago=HOUR)), key=record_key("p", "a"), partition=elsewhere
        )
        await p.log.append(TOPIC_EVENTS, [misplaced])
        await p.settle()
        assert [letter.origin for letter in p.dead_letters()] == [f"usage.events/{elsewhere}/0"]
        assert await p.store.customer("p", "a") == before


async def test_a_profile_that_the_core_cannot_take_is_put_aside(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        await p.use("a")
        changed = ProfileChanged(
            product="p", customer_id="a", profile=Profile(time_zone="Mars/Olympus"), received_us=1
        )
        await p.append(changed)
        await p.settle()
        assert [letter.reason for letter in p.dead_letters()] == ["poison"]
        assert (await state_of(p, "a")).profile == Profile()


async def test_a_customer_that_cannot_be_judged_is_put_aside_and_the_others_are_judged(
    tmp_path: Path,
) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", "b", days=1)
        await _break_zone(p, "a")
        p.restart()
        p.at(2, 1)
        await p.settle()
        assert p.told() == [("b", "usage.stopped", "2026-03-03")]
        assert [(d.reason, d.customer_id) for d in p.dead_letters()] == [("unjudged", "a")]
        row = await p.store.customer("p", "a")
        assert row is not None
        assert row.due_us == instant_us(2, 2)  # tried again in an hour


async def _break_zone(p: Pipeline, name: str) -> None:
    row = await p.store.customer("p", name)
    assert row is not None
    state = decode_state(row.state)
    segment = state.segments[0]
    broken = msgspec.structs.replace(segment.settings, zone="Mars/Olympus")
    state = msgspec.structs.replace(state, segments=(msgspec.structs.replace(segment, settings=broken),))
    await _put(p, msgspec.structs.replace(row, state=encode_state(state)))


async def _put(p: Pipeline, row: CustomerRow) -> None:
    memory = p.evaluator._owned[0].memory
    assert memory is not None
    batch = folding.sweep(memory, []).batch
    await p.store.write(msgspec.structs.replace(batch, customers=(row,)), now_us=0)


async def test_a_state_that_cannot_be_read_stops_the_partition(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        row = await p.store.customer("p", "a")
        assert row is not None
        await _put(p, msgspec.structs.replace(row, state=b"\xc1"))
        p.restart()
        p.at(1, 12)
        await p.use("a")
        await p.drain()
        assert "the stored state of p/a cannot be read" in p.evaluator.problems()[0]


# The log misbehaves


class _ScriptedConsumer(MemoryConsumer):
    """Hands out what a script says instead of what the log holds."""

    def __init__(self, consumer: MemoryConsumer, script: list[Mapping[int, Sequence[Record]]]) -> None:
        super().__init__(consumer._log, consumer.topic, consumer.group)
        self.assign(consumer.assignment())
        self.script = script
        self.seeks: list[tuple[int, int]] = []

    def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        super().seek(partition, offset)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        if self.script:
            return self.script.pop(0)
        return {}


async def scripted(p: Pipeline, *answers: Sequence[int]) -> _ScriptedConsumer:
    """The evaluator gets records of these offsets, one answer after another."""
    await p.evaluator.step()
    events = {n: encode(p.event("a", occurred_us=instant_us(n, 12))) for answer in answers for n in answer}
    script = [
        {0: [_record(offset, events[offset]) for offset in answer]} if answer else {} for answer in answers
    ]
    consumer = _ScriptedConsumer(p.evaluator._consumer, script)  # type: ignore[arg-type]
    p.evaluator._consumer = consumer
    p.evaluator._owned.clear()
    return consumer


def _record(offset: int, value: bytes) -> Record:
    return Record(
        partition=0,
        offset=offset,
        appended_us=instant_us(offset, 12),
        key=record_key("p", "a"),
        value=value,
    )


async def test_a_gap_is_believed_once_the_log_repeats_it(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1], [4, 5], [4, 5])
        await p.evaluator.step()
        await p.evaluator.step()
        assert await p.position() == 2
        assert consumer.seeks[-1] == (0, 2)
        await p.evaluator.step()
        assert await p.position() == 6


async def test_a_gap_within_a_batch_ends_it_there(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1, 5], [5], [5])
        await p.evaluator.step()
        assert await p.position() == 2
        assert consumer.seeks[-1] == (0, 2)
        await p.evaluator.step()
        await p.evaluator.step()
        assert await p.position() == 6


async def test_records_from_before_our_place_are_never_folded(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1, 2], [1, 2, 3], [1, 2, 3], [3])
        for _ in range(3):
            await p.evaluator.step()
        assert await p.position() == 3
        assert consumer.seeks[-2:] == [(0, 3), (0, 3)]
        await p.evaluator.step()
        assert await p.position() == 4


async def test_an_offset_outside_the_log_stops_the_partition_and_is_never_reset(tmp_path: Path) -> None:
    async with pipeline(tmp_path, partitions=2) as p:
        await p.evaluator.step()
        memory = p.evaluator._owned[1].memory
        assert memory is not None
        memory.next_offset = 700  # the store is ahead of a log that was set up anew
        await p.store.write(folding.sweep(memory, []).batch, now_us=0)
        p.restart()
        p.at(0, 12)
        for name in ("a", "b", "c", "d"):
            await p.use(name)
        await p.drain()
        [problem] = p.evaluator.problems()
        assert problem.startswith("usage.events/1 is stopped: ")
        assert "offset 700 is not in the log" in problem
        assert await p.position(1) == 700
        assert await p.position(0) == len(p.log.records(TOPIC_EVENTS, 0)) > 0


# The group


async def test_partitions_are_shared_out_and_read_on_by_whoever_has_them(tmp_path: Path) -> None:
    names = [f"c-{n}" for n in range(8)]
    async with pipeline(tmp_path, partitions=4) as p:
        await use_daily(p, *names, days=1)
        first = p.evaluator
        second = p.join()
        for day in (1, 2):
            p.at(day, 12)
            for name in names:
                await p.use(name)
            for evaluator in (first, second, first, second):
                await evaluator.step()
        assert first.partitions() | second.partitions() == {0, 1, 2, 3}
        assert not first.partitions() & second.partitions()
        await first.close()
        await p.drain()
        p.at(2, 13)
        await p.settle()
        assert sorted(p.told()) == [(name, "habit.formed", "2026-03-04") for name in names]


async def test_a_partition_taken_and_given_back_is_read_from_the_database_anew(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=1)
        memory = p.evaluator._owned[0].memory
        p.log.share_out(TOPIC_EVENTS, GROUP)
        await p.evaluator.step()
        assert p.evaluator._owned[0].memory is not memory


async def test_a_zombie_is_refused_and_forgets_what_it_thought(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        zombie = p.evaluator
        p.restart()
        p.at(2, 12)
        await p.use("a")
        await p.settle()
        batches = len(p.store.batches)
        await zombie.step()
        assert len(p.store.batches) == batches
        assert "usage.events/0 no longer stands at offset" in zombie.problems()[0]
        await zombie.step()  # it claims anew, and is a healthy reader that has nothing to read
        assert zombie.problems() == ()
        await p.settle()
        assert p.told() == [("a", "habit.formed", "2026-03-04")]


# The database


async def test_without_a_database_nothing_is_read_and_afterwards_it_goes_on_by_itself(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        p.store.is_away = True
        p.at(2, 12)
        await p.use("a")
        for _ in range(5):
            await p.evaluator.step()
        assert p.evaluator.problems() == ("the database does not answer",)
        assert p.evaluator.awaiting_ticks() == {}
        assert p.evaluator._consumer is not None
        assert p.evaluator._consumer.sought() == frozenset()
        with pytest.raises(StoreUnavailable):
            await p.position()
        p.store.is_away = False
        await p.settle()
        assert p.evaluator.problems() == ()
        assert p.told() == [("a", "habit.formed", "2026-03-04")]


async def test_when_the_answer_to_a_commit_is_lost_the_position_says_what_happened(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", "b", days=2)
        p.at(2, 12)
        await p.use("a")
        await p.use("b")
        p.store.loses_answers = 1
        await p.settle()
        batches = [b for b in p.store.batches if b.outbox]
        assert len(batches) == 1
        assert sorted(p.told()) == [(name, "habit.formed", "2026-03-04") for name in ("a", "b")]


async def test_every_answer_to_a_commit_may_be_lost(tmp_path: Path) -> None:
    async with pipeline(tmp_path, records_per_fetch_max=1, customers_per_sweep_max=1) as p:
        p.store.loses_answers = 10_000
        await use_daily(p, "a", "b", "c", days=3)
        p.at(4, 1)
        await p.settle()
        stops = [(name, "usage.stopped", "2026-03-05") for name in ("a", "b", "c")]
        habits = [(name, "habit.formed", "2026-03-04") for name in ("a", "b", "c")]
        assert sorted(p.told()) == sorted(stops + habits)


async def test_a_database_put_back_by_an_hour_leads_to_the_same_ids(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=3)
        ids = [trigger.id for trigger in p.triggers()]
        other = tmp_path / "restored"
        other.mkdir()
        async with pipeline(other) as restored:  # an older state: that of an empty database
            restored.log = p.log
            restored.restart()
            await restored.settle()
            assert [trigger.id for trigger in restored.triggers()] == ids * 2


def test_products_are_compiled_with_their_own_rules() -> None:
    config = Config.model_validate({"products": {"p": {"rules": RULES}}})
    assert compile_product("p", config.products["p"]) == products_of()["p"]


async def test_a_tick_is_never_needed_for_what_a_use_completes(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        for day in range(3):
            p.at(day, 12)
            await p.use("a")
        await p.drain()
        await p.relay.step()
        assert p.told() == [("a", "habit.formed", "2026-03-04")]
        assert not any(isinstance(decode(r.value), Tick) for r in p.log.records(TOPIC_EVENTS))


async def test_it_is_not_ready_while_the_database_is_away_but_is_with_a_partition_stopped(
    tmp_path: Path,
) -> None:
    async with pipeline(tmp_path) as p:
        p.store.is_away = True
        await p.evaluator.step()
        with pytest.raises(TransientError, match="the database does not answer"):
            await p.evaluator.check()
        p.store.is_away = False
        await p.poison(count=folding.POISON_IN_A_ROW_MAX)
        await p.drain()
        assert len(p.evaluator.problems()) == 1
        await p.evaluator.check()
