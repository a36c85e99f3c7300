"""What the notifier keeps of the topic: how far it is read, and what could not be read."""

import asyncio

import pytest
from sqlalchemy import select

from services.notifier.store import board, ledgers, places
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.folding import take_trigger
from shared import schema
from shared.database import Database
from shared.errors import Fenced
from shared.events import DeadLetter
from shared.triggers import Trigger, encode_trigger
from tests.contract.notifier_rows import CONFIG
from tests.unit.notifier.cases import NOON, stop


async def test_a_position_moves_only_from_exactly_where_it_is(database: Database) -> None:
    async with database.begin() as connection:
        assert await places.position(connection, 3) is None
        assert await places.create_position(connection, 3, 40, NOON) == 40
        assert await places.create_position(connection, 3, 7, NOON) == 40
        await places.move_position(connection, 3, first=40, next_offset=45, now_us=NOON)
    for wrong in (40, 44, 46):
        with pytest.raises(Fenced):
            async with database.begin() as connection:
                await places.move_position(connection, 3, first=wrong, next_offset=50, now_us=NOON)
    async with database.read() as connection:
        assert await places.position(connection, 3) == 45


async def test_of_two_batches_at_once_one_is_fenced(database: Database) -> None:
    async with database.begin() as connection:
        await places.create_position(connection, 0, 0, NOON)

    async def batch(trigger: Trigger) -> None:
        async with database.begin() as connection:
            await places.move_position(connection, 0, first=0, next_offset=1, now_us=NOON)
            ledger = await ledgers.open_ledger(connection, [trigger], CONFIG.channels)
            take_trigger(ledger, trigger, encode_trigger(trigger), CONFIG, NOON)
            await ledgers.write(connection, ledger)

    ended = await asyncio.gather(batch(stop("c-1")), batch(stop("c-2")), return_exceptions=True)
    assert sorted(type(e).__name__ for e in ended if e is not None) == ["Fenced"]
    async with database.read() as connection:
        assert len(await board.page(connection, TaskFilter(), count_max=9)) == 1


async def test_dead_letters_wait_in_the_outbox_once(database: Database) -> None:
    letter = DeadLetter(
        id="usage.triggers/0/9", product="reserve", reason="poison", message="", origin="x", rejected_us=NOON
    )
    for _ in range(2):
        async with database.begin() as connection:
            await places.write_dead_letters(connection, [letter])
    async with database.read() as connection:
        rows = (await connection.execute(select(schema.outbox))).all()
    assert [(row.id, row.topic, row.sent_us) for row in rows] == [(letter.id, "usage.dead_letters", None)]
