"""Everybody who is due is judged at one time, in parts, also where days or rules have changed."""

from pathlib import Path

from tests.unit.evaluator.pipeline import RULES, pipeline, products_of, state_of, use_daily


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
