"""What cannot be taken is put aside with its reason, and stops a partition only where it is too much."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from services.evaluator import folding
from services.evaluator.changes import CustomerRow
from services.evaluator.core.state import decode_state, encode_state
from services.evaluator.partition import POISON_IN_A_ROW_MAX
from shared.events import TOPIC_EVENTS, Profile, ProfileChanged, encode, record_key
from shared.log import Message
from tests.unit.evaluator.pipeline import (
    Pipeline,
    instant_us,
    pipeline,
    state_of,
    use_daily,
)

HOUR = timedelta(hours=1)


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
        await p.log.append(TOPIC_EVENTS, [Message(value=b"?", partition=0)] * (POISON_IN_A_ROW_MAX + 5))
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
        for _ in range(POISON_IN_A_ROW_MAX):
            await p.append(changed)
        await p.drain()
        assert "is stopped" in p.evaluator.problems()[0]


async def test_poison_between_good_records_never_stops_anything(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        for _ in range(3):
            await p.poison(count=POISON_IN_A_ROW_MAX - 1)
            await p.use("a")
        await p.drain()
        assert p.evaluator.problems() == ()
        assert await p.position() == 3 * POISON_IN_A_ROW_MAX


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


async def test_a_record_under_a_busy_customers_key_that_names_somebody_else_is_poison(tmp_path: Path) -> None:
    """An event of a day that is active already is passed over, but only its own customer's."""
    async with pipeline(tmp_path) as p:
        p.at(0, 12)
        for _ in range(3):
            await p.use("a")
        await p.log.append(TOPIC_EVENTS, [Message(value=encode(p.event("b")), key=record_key("p", "a"))])
        await p.settle()
        assert [letter.reason for letter in p.dead_letters()] == ["poison"]
        assert await p.store.customer("p", "b") is None
