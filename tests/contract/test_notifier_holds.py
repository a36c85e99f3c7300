"""What holds calls: the outages of a product, and the day of a CSM with a limit."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Select, insert, select, text

from services.notifier.desk import allotting, guarding
from services.notifier.store import board, cohorts, ledgers
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.capacity import SETTLE_US
from services.notifier.tasks.folding import take_trigger
from shared import schema
from shared.config import Config
from shared.database import Database
from shared.triggers import Trigger, encode_trigger
from tests.contract.notifier_rows import claimed
from tests.unit.notifier.cases import DAY, MINUTE, NOON, config, stop


async def test_two_partitions_of_one_sweep_count_in_the_same_outage(database: Database) -> None:
    guarded = config(guard={"min_customers": 1})
    async with database.begin() as connection:
        await connection.execute(
            schema.customers.insert().values(product="reserve", customer_id="u", partition=0, state=b"")
        )

    async def batch(*triggers: Trigger) -> None:
        async with database.begin() as connection:
            outages = await guarding.watch(connection, triggers, guarded, NOON)
            ledger = await ledgers.open_ledger(connection, triggers, guarded.channels, outages)
            for trigger in triggers:
                take_trigger(ledger, trigger, encode_trigger(trigger), guarded, NOON)
            await ledgers.write(connection, ledger)

    await asyncio.gather(*(batch(stop(f"c-{n}-a"), stop(f"c-{n}-b")) for n in range(5)))
    async with database.read() as connection:
        outage = await guarding.find(connection, "reserve/usage-stopped/2026-03-02T05:00:00Z")
        held = await guarding.held(connection)
    assert outage is not None
    assert (outage.stopped_count, outage.state) == (10, "watching")
    assert held == []
    async with database.begin() as connection:
        assert await guarding.due(connection, NOON + 3_000_000) == [outage.id]
        ledger = await guarding.advance(connection, outage.id, guarded, NOON + 3_000_000)
        await ledgers.write(connection, ledger)
        assert await guarding.due(connection, NOON + 9_000_000) == []
    assert len(await claimed(database, NOON + 3_000_000, {"cs-slack": 50, "phone": 50})) == 20


@pytest.mark.parametrize(
    "query",
    [
        cohorts.judged_at("reserve", [NOON + n * DAY for n in range(9)]),
        cohorts.judged_by("reserve", NOON),
    ],
    ids=["at", "by"],
)
async def test_a_cohort_is_counted_in_its_index(database: Database, query: Select[Any]) -> None:
    rows = [
        {
            "product": f"p-{n % 50}" if n % 10 else "reserve",
            "customer_id": f"c-{n}",
            "partition": n % 24,
            "due_us": NOON + (n % 20) * DAY // 2,
            "state": b"s" * 400,
        }
        for n in range(4000)
    ]
    async with database.begin() as connection:
        await connection.execute(insert(schema.customers), rows)
        await connection.execute(text("ANALYZE"))
        said = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(row) for row in await connection.execute(text(f"{explain} {said}")))
    assert "customers_judged" in plan


async def test_a_csms_day_is_looked_at_at_the_earliest_of_its_calls(database: Database) -> None:
    base = config().model_dump(by_alias=True)
    base["csms"]["csm-1"]["calls_per_day_max"] = 1
    limited = Config.model_validate(base)
    for customer, at_us in (("c-1", NOON + MINUTE), ("c-2", NOON), ("c-3", NOON + 2 * MINUTE)):
        trigger = stop(customer, csm="csm-1", surprise=0.9 if customer == "c-3" else 0.8)
        async with database.begin() as connection:
            ledger = await ledgers.open_ledger(connection, [trigger], limited.channels)
            take_trigger(ledger, trigger, encode_trigger(trigger), limited, at_us)
            await ledgers.write(connection, ledger)
    key = "day:csm-1/2026-03-02"
    async with database.read() as connection:
        assert await allotting.due(connection, NOON + SETTLE_US - 1) == []
        assert await allotting.due(connection, NOON + SETTLE_US) == [key]
    for now_us, handed in ((NOON + 2 * MINUTE, 0), (NOON + 3 * MINUTE, 1)):
        async with database.begin() as connection:
            await ledgers.write(connection, await allotting.advance(connection, key, limited, now_us))
            rows = (await connection.execute(select(schema.call_days))).mappings().all()
        assert [row["handed_count"] for row in rows] == [handed]
    async with database.read() as connection:
        tasks = {task.customer_id: task for task in await board.page(connection, TaskFilter(), count_max=9)}
        assert await allotting.next_wake_us(connection) is None
    assert {name: task.overflow for name, task in tasks.items()} == {"c-1": True, "c-2": True, "c-3": False}
