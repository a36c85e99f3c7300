"""From the log to tasks and deliveries, one transaction a batch."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from services.notifier.desk.intake import POISON_IN_A_ROW_MAX, Intake
from services.notifier.store import places
from shared import schema
from shared.errors import PermanentError, StoreUnavailable
from shared.events import TOPIC_TRIGGERS, DeadLetter
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import resumption, retraction, stop


async def position(of: World) -> int | None:
    async with of.database.read() as connection:
        return await places.position(connection, 0)


async def test_a_stop_becomes_a_task_with_its_deliveries(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop(csm="csm-1"))
        task = await here.task()
        assert (task.id, task.owner, task.state) == (stop().id, "csm-1", "open")
        assert [(d.channel, d.state) for d in await here.deliveries()] == [
            ("cs-slack", "pending"),
            ("phone", "pending"),
        ]
        assert [row.change for row in await here.rows("task_history")] == ["opened"]
        assert await position(here) == 1


async def test_the_same_trigger_from_another_offset_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        await here.read(stop())
        assert len(await here.tasks()) == 1
        assert len(await here.deliveries()) == 2
        assert await position(here) == 2


async def test_a_retraction_in_the_same_batch_is_never_heard_of(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop(), retraction(stop()))
        await here.send()
        assert (await here.task()).cancelled == "retracted"
        assert here.receivers.requests == []


async def test_use_before_the_message_went_out_takes_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        await here.read(resumption(stop()))
        await here.send()
        assert {d.state for d in await here.deliveries()} == {"cancelled"}
        assert here.receivers.requests == []


async def test_use_after_the_message_went_out_is_told_where_it_went(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        await here.send()
        assert (await here.task()).state == "notified"
        await here.read(resumption(stop()))
        await here.after(seconds=1)  # Slack takes one message a second
        told = [request.headers.get("webhook-id") for request in here.receivers.to("phone")]
        assert told == [stop().id, resumption(stop()).id]
        assert "再開" in here.receivers.to("slack")[1].body.decode()


async def test_another_reader_of_the_partition_writes_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        zombie = Intake(here.parts, lambda: None)
        await here.publish(stop("c-1"))
        await zombie.step()
        await zombie.close()
        await here.notifier.intake.step()
        await here.publish(stop("c-2"))
        # Both believe that offset 1 is theirs to take.
        await here.notifier.intake.step()
        here.log.share_out(TOPIC_TRIGGERS, "notifier")
        assert await here.notifier.intake.step() is False
        assert len(await here.tasks()) == 2
        assert await position(here) == 2


async def test_a_fenced_batch_leaves_no_row_and_is_read_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop("c-1"))
        await here.publish(stop("c-2"))
        async with here.database.begin() as connection:  # another worker was here meanwhile
            await places.move_position(connection, 0, first=1, next_offset=2, now_us=0)
        await here.notifier.intake.step()
        assert [task.customer_id for task in await here.tasks()] == ["c-1"]
        await here.publish(stop("c-3"))
        await here.notifier.intake.step()
        assert {task.customer_id for task in await here.tasks()} == {"c-1", "c-3"}


async def test_a_batch_that_fails_half_way_leaves_nothing_and_comes_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.publish(stop("c-1"), stop("c-2"))
        async with here.database.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO away")
        with pytest.raises((StoreUnavailable, SQLAlchemyError)):
            await here.notifier.intake.step()
        async with here.database.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE away RENAME TO deliveries")
        assert await here.tasks() == []
        await here.notifier.intake.step()
        assert len(await here.tasks()) == 2


async def test_a_trigger_of_a_customer_erased_meanwhile_makes_no_task(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.publish(stop("c-1"), stop("c-2"))
        async with here.database.begin() as connection:
            await connection.execute(delete(schema.outbox).where(schema.outbox.c.customer_id == "c-1"))
        assert await here.notifier.intake.step()
        assert [task.customer_id for task in await here.tasks()] == ["c-2"]


async def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(b"\xff{", b'{"id": 1}', stop())
        assert len(await here.tasks()) == 1
        letters = [row for row in await here.rows("outbox") if row.topic == "usage.dead_letters"]
        assert [row.id for row in letters] == ["usage.triggers/0/0", "usage.triggers/0/1"]
        letter = msgspec.json.decode(letters[1].value, type=DeadLetter)
        assert (letter.reason, letter.origin, letter.payload) == ("poison", "usage.triggers/0/1", '{"id": 1}')


async def test_nothing_but_poison_stops_the_reader(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.publish(*[b"?"] * (POISON_IN_A_ROW_MAX + 1))
        with pytest.raises(PermanentError, match="is an older version running"):
            await here.notifier.intake.step()
        assert await position(here) == 0


async def test_a_group_shared_out_anew_is_read_on_from_the_database(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop("c-1"))
        here.log.share_out(TOPIC_TRIGGERS, "notifier")
        await here.publish(stop("c-2"))
        for _ in range(12):
            await here.notifier.intake.step()
        assert len(await here.tasks()) == 2


async def test_a_thousand_stops_of_one_sweep_are_one_batch(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.publish(*(stop(f"c-{n}") for n in range(1000)))
        await here.notifier.intake.step()
        assert len(await here.tasks()) == 1000
        assert await position(here) == 1000
