"""Lists of tasks as people ask for them."""

import msgspec
from sqlalchemy import update

from services.notifier.store import board, ledgers
from services.notifier.store.board import TaskFilter
from services.notifier.store.rows import heard_by
from services.notifier.tasks.lifecycle import acknowledge, finish
from shared import schema
from shared.database import Database
from tests.contract.notifier_rows import CONFIG, take
from tests.unit.notifier.cases import HOUR, NOON, stop


async def test_tasks_are_filtered_and_paged(database: Database) -> None:
    for n, csm in enumerate(("csm-1", "csm-2", None, "csm-1")):
        await take(database, stop(f"c-{n}", csm=csm), now_us=NOON + n)
    async with database.begin() as connection:
        ledger = await ledgers.ledger_of(connection, [stop("c-0").id, stop("c-1").id], CONFIG.channels)
        first, second = ledger.task(stop("c-0").id), ledger.task(stop("c-1").id)
        assert first is not None
        assert second is not None
        ledger.take(finish(first, "csm-1", "reached", "", NOON + HOUR), NOON + HOUR)
        ledger.take(acknowledge(second, "csm-2", NOON), NOON)
        await ledgers.write(connection, ledger)
        await connection.execute(
            update(schema.tasks)
            .where(schema.tasks.c.id == stop("c-2").id)
            .values(heard_by=heard_by(["csm-3", "csm-2"]))
        )

    async def found(**wanted: object) -> list[str]:
        async with database.read() as connection:
            tasks = await board.page(connection, msgspec.convert(wanted, TaskFilter), count_max=9)
        return [task.customer_id for task in tasks]

    assert await found() == ["c-0", "c-1", "c-2", "c-3"]
    assert await found(product="other") == []
    assert await found(owner="csm-1") == ["c-0", "c-3"]
    assert await found(owner="") == ["c-2"]
    assert await found(whose="csm-2") == ["c-1", "c-2"]
    assert await found(states=["acknowledged", "done"]) == ["c-0", "c-1"]
    assert await found(is_live=False) == ["c-0"]
    assert await found(live_or_closed_from_us=NOON + 2 * HOUR) == ["c-1", "c-2", "c-3"]
    assert await found(live_or_closed_from_us=NOON + HOUR) == ["c-0", "c-1", "c-2", "c-3"]
    assert await found(opened_from_us=NOON + 2) == ["c-2", "c-3"]
    assert await found(customer_id="c-3") == ["c-3"]
    async with database.read() as connection:
        page = await board.page(connection, TaskFilter(), count_max=2, after=(NOON + 1, stop("c-1").id))
        assert [task.customer_id for task in page] == ["c-2", "c-3"]
        closed = await board.last_closed(connection, TaskFilter(is_live=False), count_max=2)
        assert [task.customer_id for task in closed] == ["c-0"]
        assert await board.count(connection, TaskFilter(is_live=True)) == 3
        assert await board.owners(connection, TaskFilter(is_live=True)) == {"csm-2": 1, None: 1, "csm-1": 1}


async def test_the_boards_version_grows_with_every_change(database: Database) -> None:
    async with database.read() as connection:
        before = await board.version(connection)
    await take(database, stop())
    async with database.read() as connection:
        assert await board.version(connection) != before
