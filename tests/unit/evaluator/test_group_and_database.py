"""A partition has one reader, whatever the group does, and goes on from what the database says."""

from pathlib import Path

import pytest

from services.evaluator.partition import POISON_IN_A_ROW_MAX
from services.evaluator.worker import GROUP
from shared.errors import StoreUnavailable, TransientError
from shared.events import TOPIC_EVENTS
from tests.unit.evaluator.pipeline import pipeline, use_daily


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


async def test_it_is_not_ready_while_the_database_is_away_but_is_with_a_partition_stopped(
    tmp_path: Path,
) -> None:
    async with pipeline(tmp_path) as p:
        p.store.is_away = True
        await p.evaluator.step()
        with pytest.raises(TransientError, match="the database does not answer"):
            await p.evaluator.check()
        p.store.is_away = False
        await p.poison(count=POISON_IN_A_ROW_MAX)
        await p.drain()
        assert len(p.evaluator.problems()) == 1
        await p.evaluator.check()
