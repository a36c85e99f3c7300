"""What a batch of records loads, writes and remembers, and that what is erased is gone."""

from datetime import timedelta
from pathlib import Path

from services.evaluator.worker import GROUP
from shared.events import TOPIC_EVENTS
from tests.unit.evaluator.pipeline import pipeline, state_of, use_daily


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
