"""Tasks written by one ledger and read by the next."""

import pytest
from sqlalchemy import select

from services.notifier.delivery import outgoing
from services.notifier.delivery.outgoing import Attempt
from services.notifier.store import board, ledgers, reading
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.folding import take_trigger, warm
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import finish, snooze
from shared import schema
from shared.database import Database
from shared.erasure import erase_tasks
from shared.triggers import encode_trigger
from tests.contract.notifier_rows import CONFIG, claimed, deliveries, take
from tests.unit.notifier.cases import DAY, HOUR, NOON, config, resumption, stop


async def test_what_a_ledger_writes_the_next_one_reads(database: Database) -> None:
    await take(database, stop())
    ledger = await take(database, stop(), resumption(stop()))
    assert [task.cancelled for task in ledger.changed.values()] == ["resumed"]
    async with database.read() as connection:
        task = await reading.task(connection, stop().id)
        assert task is not None
        assert task.cancelled == "resumed"
        assert [line.note.change for line in await reading.history(connection, task.id)] == [
            "opened",
            "resumed",
        ]
        assert [t.id for t in await reading.triggers_of(connection, task.id)] == [
            stop().id,
            resumption(stop()).id,
        ]
    assert {d.state for d in (await deliveries(database, stop())).values()} == {"cancelled"}


async def test_a_thousand_customers_fit_into_one_ledger(database: Database) -> None:
    many = [stop(f"c-{n}") for n in range(1200)]
    await take(database, *many)
    ledger = await take(database, *(resumption(trigger) for trigger in many))
    assert len(ledger.changed) == 1200
    async with database.read() as connection:
        assert await board.page(connection, TaskFilter(is_live=True), count_max=9) == []


async def test_an_open_task_of_the_same_customer_and_rule_cannot_be_doubled(database: Database) -> None:
    await take(database, stop())
    second = stop(day="2026-03-09")
    blind = Ledger(channels=CONFIG.channels)  # as if it had not seen the first
    take_trigger(blind, second, encode_trigger(second), CONFIG, NOON)
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with database.begin() as connection:
            await ledgers.write(connection, blind)


async def test_a_customer_is_forgotten_with_everything_said_about_it(database: Database) -> None:
    await take(database, stop("c-1"), stop("c-2"))
    for delivery in await claimed(database):
        attempt = Attempt(delivery_id=delivery.id, at_us=NOON, result="retry", detail="", took_us=1)
        async with database.begin() as connection:
            await outgoing.record(connection, [], [attempt])
    async with database.begin() as connection:
        await erase_tasks(connection, "reserve", "c-1")
    for table in ("tasks", "task_history", "task_triggers", "deliveries", "attempts"):
        async with database.read() as connection:
            rows = (await connection.execute(select(schema.metadata.tables[table]))).all()
        assert rows
        assert not [row for row in rows if stop("c-1").id in str(row)]


async def test_tasks_wake_in_the_order_of_their_time(database: Database) -> None:
    await take(database, stop("c-1"), stop("c-2"), stop("c-3"))
    async with database.begin() as connection:
        ledger = await ledgers.ledger_of(connection, [stop("c-1").id, stop("c-2").id], CONFIG.channels)
        for n, customer in ((2, "c-1"), (1, "c-2")):
            task = ledger.task(stop(customer).id)
            assert task is not None
            ledger.take(snooze(task, "x", NOON + n * HOUR, "", NOON), NOON)
        await ledgers.write(connection, ledger)
        assert await reading.due_tasks(connection, NOON, 9) == []
        assert await reading.due_tasks(connection, NOON + 2 * HOUR, 9) == [stop("c-2").id, stop("c-1").id]
        assert await reading.next_wake_us(connection) == NOON + HOUR


async def test_a_stop_noted_under_a_closed_task_becomes_one_of_its_own(database: Database) -> None:
    cool = config(playbooks=[{"on": "usage.stopped", "send": ["phone"], "cooldown": "7d"}])
    first, second = stop(), stop(day="2026-03-05")
    await take(database, first)
    async with database.begin() as connection:
        ledger = await ledgers.ledger_of(connection, [first.id], cool.channels)
        task = ledger.task(first.id)
        assert task is not None
        ledger.take(finish(task, "csm-1", "reached", "", NOON), NOON)
        await ledgers.write(connection, ledger)
    async with database.begin() as connection:
        ledger = await ledgers.open_ledger(connection, [second], cool.channels, closed_from_us=NOON - DAY)
        take_trigger(ledger, second, encode_trigger(second), cool, NOON + 3 * DAY)
        await ledgers.write(connection, ledger)
        assert await reading.due_tasks(connection, NOON + 7 * DAY, 9) == [first.id]
        assert [t.id for t in await reading.triggers_of(connection, first.id)] == [first.id, second.id]
    async with database.begin() as connection:
        ledger = await ledgers.ledger_of(connection, [first.id], cool.channels)
        task = ledger.task(first.id)
        assert task is not None
        warm(ledger, task, cool, NOON + 7 * DAY)
        await ledgers.write(connection, ledger)
        assert await reading.due_tasks(connection, NOON + 7 * DAY, 9) == []
        assert [t.id for t in await reading.triggers_of(connection, second.id)] == [second.id]
