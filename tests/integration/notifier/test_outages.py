"""The outage guard over the whole notifier: one incident instead of hundreds of calls, nothing dropped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, update

from services.notifier.desk import guarding
from services.notifier.desk.guarding import CALLS_MAX
from services.notifier.planning.guard import Outage
from services.notifier.planning.notices import SILENCE
from services.notifier.tasks.lifecycle import Task
from shared import schema
from shared.config import Config
from shared.errors import Conflict, NotFound
from shared.triggers import Trigger
from tests.integration.notifier.world import World, on_record, world
from tests.unit.notifier.cases import MINUTE, at, config, resumption, retraction, stop

JUDGED_TODAY = at("2026-03-02T14:15+09:00")
JUDGED_TOMORROW = at("2026-03-03T14:15+09:00")
OTHER_CUTOFF = at("2026-03-03T18:15+09:00")
KEY = "reserve/usage-stopped/2026-03-02T05:00:00Z"
LATER_CUTOFF = "2026-03-02T13:00:00Z"
LATER_KEY = f"reserve/usage-stopped/{LATER_CUTOFF}"


@asynccontextmanager
async def product(
    path: Path,
    config_: Config | None = None,
    *,
    still_used: int,
    unjudged: int = 0,
    of_other_cutoff: int = 0,
    **section: object,
) -> AsyncIterator[World]:
    """A product whose remaining customers are judged next at the same cutoff, or at another.

    `unjudged`: so many have not been judged at today's cutoff yet.
    """
    section = {"peers": None, **section}
    rows = [(f"u-{n}", JUDGED_TOMORROW) for n in range(still_used)]
    rows += [(f"n-{n}", JUDGED_TODAY) for n in range(unjudged)]
    rows += [(f"o-{n}", OTHER_CUTOFF) for n in range(of_other_cutoff)]
    async with world(path, config_ or config(**section)) as here:
        async with here.database.begin() as connection:
            for customer_id, due_us in rows:
                await connection.execute(
                    insert(schema.customers).values(
                        product="reserve", customer_id=customer_id, partition=0, due_us=due_us, state=b""
                    )
                )
        yield here


def stops(count: int) -> list[Trigger]:
    return [stop(f"c-{n}") for n in range(count)]


async def calls(here: World) -> list[Task]:
    return [task for task in await here.tasks() if task.trigger.type != SILENCE]


async def notices(here: World) -> list[Task]:
    return [task for task in await here.tasks() if task.trigger.type == SILENCE]


async def notice(here: World) -> Task:
    (found,) = await notices(here)
    return found


async def outage(here: World) -> Outage:
    async with here.database.read() as connection:
        found = await guarding.find(connection, KEY)
    assert found is not None
    return found


async def test_a_small_products_stop_waits_for_nothing(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=19) as here:
        await here.read(stop())
        await here.send()
        assert len(here.receivers.requests) == 2


async def test_a_lone_stop_of_a_large_product_goes_out_at_once_when_everybody_is_judged(
    tmp_path: Path,
) -> None:
    async with product(tmp_path, still_used=100) as here:
        await here.read(stop())
        await here.send()
        assert len(here.receivers.requests) == 2
        assert (await outage(here)).state == "clear"


async def test_it_goes_out_as_soon_as_too_few_are_left_to_be_judged(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=60, unjudged=40) as here:
        await here.read(stop())
        await here.after(seconds=0.5)
        assert here.receivers.requests == []
        judged = update(schema.customers).where(schema.customers.c.customer_id.like("n-%"))
        async with here.database.begin() as connection:
            await connection.execute(judged.values(due_us=JUDGED_TOMORROW))
        await here.after(seconds=0.25)
        assert len(here.receivers.requests) == 2


async def test_stops_decided_and_not_read_yet_are_waited_for(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await on_record(here.database, *stops(40), now_us=here.clock.now_us())
        await here.read(stop())
        await here.after(seconds=1)
        assert here.receivers.requests == []
        await here.publish(*stops(30))
        while await here.notifier.intake.step():
            pass
        assert (await outage(here)).state == "held"


async def test_where_it_cannot_be_told_a_lone_stop_goes_out_within_seconds(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=60, unjudged=40) as here:
        await here.read(stop())
        await here.send()
        assert here.receivers.requests == []
        await here.after(seconds=2)
        assert len(here.receivers.requests) == 2
        task = await here.task()
        assert (task.held, task.unverified) == (None, False)
        assert [row.change for row in await here.rows("task_history")] == ["opened", "notified"]


async def test_too_many_stops_are_one_notice_and_no_call(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))  # 30 of 100
        await here.after(seconds=30)
        assert {task.held for task in await calls(here)} == {KEY}
        (request,) = here.receivers.requests
        assert b"Product may be down" in request.body
        found = await notice(here)
        assert (found.owner, found.trigger.data.count) == ("csm-2", 30)


async def test_one_fewer_is_thirty_calls(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=71) as here:
        await here.read(*stops(29))
        await here.after(seconds=2)
        assert len(here.receivers.to("phone")) == 29


async def test_customers_with_another_cutoff_are_no_excuse(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70, of_other_cutoff=500) as here:
        await here.read(*stops(30))
        assert (await outage(here)).cohort_count == 100
        assert (await outage(here)).state == "held"


async def test_the_same_stops_read_again_are_not_counted_again(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=80) as here:
        await here.read(*stops(20), *stops(20))
        await here.read(*stops(20))
        assert ((await outage(here)).stopped_count, (await outage(here)).state) == (20, "clear")


async def test_stops_that_no_playbook_wants_count_all_the_same(tmp_path: Path) -> None:
    picky = [{"on": "usage.stopped", "if": {"segment": "high-touch"}, "send": ["phone"]}]
    async with product(tmp_path, still_used=70, playbooks=picky) as here:
        await here.read(*stops(29), stop("c-vip", segment="high-touch"))
        assert (await outage(here)).state == "held"
        assert [task.customer_id for task in await calls(here)] == ["c-vip"]


async def test_a_person_releases_the_calls(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        async with here.database.read() as connection:
            assert [o.id for o in await guarding.held(connection, "reserve")] == [KEY]
            assert await guarding.held(connection, "other") == []
        for _ in range(2):  # a double click
            await guarding.release(
                here.database, here.parts.config, KEY, actor="csm-2", now_us=here.clock.now_us()
            )
        await here.after(seconds=1)
        assert len(here.receivers.to("phone")) == 30
        assert not any(task.unverified for task in await calls(here))
        found = await notice(here)
        assert (found.state, found.closed_by) == ("done", "csm-2")
        released = [row for row in await here.rows("task_history") if row.change == "released"]
        assert {row.actor for row in released} == {"csm-2"}


async def test_two_outages_at_once_are_two_notices_each_with_its_own_calls(tmp_path: Path) -> None:
    elsewhere = [
        msgspec.structs.replace(trigger, data=msgspec.structs.replace(trigger.data, cutoff_at=LATER_CUTOFF))
        for trigger in (stop(f"b-{n}", time_zone="Europe/Berlin") for n in range(30))
    ]
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await here.read(*elsewhere)
        assert [task.state for task in await notices(here)] == ["open", "open"]
        await guarding.release(
            here.database, here.parts.config, KEY, actor="csm-2", now_us=here.clock.now_us()
        )
        await here.after(seconds=1)
        assert [task.customer_id for task in await notices(here) if task.is_live] == [LATER_KEY]
        assert {task.held for task in await calls(here) if task.customer_id.startswith("b-")} == {LATER_KEY}


async def test_another_products_key_releases_nothing(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        for key, owner in ((KEY, "other"), ("nothing", None)):
            with pytest.raises(NotFound):
                await guarding.release(
                    here.database, here.parts.config, key, actor="x", now_us=0, product=owner
                )
        assert (await outage(here)).state == "held"


async def test_nobody_says_anything_and_the_calls_go_out_unverified(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await here.after(minutes=119)
        assert here.receivers.to("phone") == []
        await here.after(minutes=1)
        assert len(here.receivers.to("phone")) == 30
        assert all(task.unverified for task in await calls(here))
        assert "未確認".encode() in here.receivers.to("slack")[-1].body
        assert (await notice(here)).is_live  # somebody still has to look
        with pytest.raises(Conflict):
            await guarding.release(here.database, here.parts.config, KEY, actor="x", now_us=0)


async def test_late_events_take_the_stops_back_and_no_call_is_ever_made(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await here.read(*(retraction(trigger) for trigger in stops(30)))
        await here.after(hours=3)
        assert here.receivers.to("phone") == []
        assert {task.cancelled for task in await calls(here)} == {"retracted"}
        assert (await outage(here)).state == "dissolved"
        found = await notice(here)
        assert (found.state, found.outcome) == ("done", "product_problem")


async def test_the_one_who_really_stopped_is_called_when_the_outage_dissolves(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await here.read(*(retraction(trigger) for trigger in stops(29)))
        await here.after(seconds=1)
        (request,) = here.receivers.to("phone")
        assert request.headers["webhook-id"] == stop("c-29").id


async def test_a_retraction_read_twice_is_taken_back_once(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(31))
        for _ in range(2):
            await here.read(retraction(stop("c-0")))
        assert (await outage(here)).stopped_count == 30


async def test_a_customer_who_is_back_while_held_is_not_called(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await here.read(resumption(stop("c-0"), "2026-03-02"))
        await here.after(hours=2)
        called = {request.headers["webhook-id"] for request in here.receivers.to("phone")}
        assert len(called) == 29
        assert stop("c-0").id not in called


async def test_a_channel_that_takes_facts_at_once_is_not_held(tmp_path: Path) -> None:
    base = config()
    at_once = base.channels["phone"].model_copy(update={"timing": "at_once"})
    changed = base.model_copy(update={"channels": {**base.channels, "phone": at_once}})
    async with product(tmp_path, changed, still_used=70) as here:
        await here.read(*stops(30))
        await here.send()
        assert len(here.receivers.to("phone")) == 30


async def test_more_calls_than_fit_into_one_transaction_are_all_let_go(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=100) as here:
        await here.read(*stops(CALLS_MAX * 2 + 1))
        await here.after(hours=2)
        assert len(here.receivers.to("phone")) == CALLS_MAX * 2 + 1
        assert (await outage(here)).wake_us is None


async def test_held_calls_neither_expire_nor_escalate_while_they_wait(tmp_path: Path) -> None:
    playbook = {
        "on": "usage.stopped",
        "send": ["cs-slack"],
        "task": {"expires": "1h"},
        "escalate": {"after": "30m", "to": "csm-2"},
    }
    async with product(tmp_path, still_used=70, playbooks=[playbook]) as here:
        await here.read(*stops(30))
        await here.after(minutes=119)
        assert {task.state for task in await calls(here)} == {"open"}
        await here.after(minutes=1)
        assert {task.state for task in await calls(here)} == {"notified"}
        released_us = here.clock.now_us()
        expiries = {task.plan.times.expires_us for task in await calls(here)}
        assert expiries == {released_us + 60 * MINUTE}
