"""Days are judged by the time that is in the log, whoever reads it, and whenever."""

from datetime import timedelta
from pathlib import Path

from shared.events import TOPIC_EVENTS, Tick, decode
from tests.unit.evaluator.pipeline import pipeline, products_of, use_daily

HOUR = timedelta(hours=1)


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


async def test_a_tick_is_never_needed_for_what_a_use_completes(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        for day in range(3):
            p.at(day, 12)
            await p.use("a")
        await p.drain()
        await p.relay.step()
        assert p.told() == [("a", "habit.formed", "2026-03-04")]
        assert not any(isinstance(decode(r.value), Tick) for r in p.log.records(TOPIC_EVENTS))
