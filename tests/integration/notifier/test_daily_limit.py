"""A CSM with a limit: the most surprising calls one by one, the others in one digest, all in the inbox."""

import json
from pathlib import Path

from services.notifier.tasks.lifecycle import acknowledge
from shared.config import Config
from shared.triggers import Trigger
from tests.integration.notifier.test_outages import product
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import config, resumption, stop


def limited(calls_max: int, **product: object) -> Config:
    base = config(**product).model_dump(by_alias=True)
    base["csms"]["csm-1"]["calls_per_day_max"] = calls_max
    return Config.model_validate(base)


def calls(count: int) -> list[Trigger]:
    """`c-0` is the least surprising."""
    return [stop(f"c-{n}", csm="csm-1", surprise=0.5 + n / 100) for n in range(count)]


async def overflow(here: World) -> list[str]:
    return sorted(task.customer_id for task in await here.tasks(is_live=True) if task.overflow)


async def test_the_most_surprising_go_out_one_by_one_and_the_others_stay_in_the_inbox(tmp_path: Path) -> None:
    async with world(tmp_path, limited(2)) as here:
        first, second, *others = calls(5)
        await here.read(first, *others[1:])
        await here.read(second, others[0])
        await here.after(seconds=2)
        assert here.receivers.requests == []
        await here.after(seconds=2)
        called = {request.headers["webhook-id"] for request in here.receivers.to("phone")}
        assert called == {stop("c-3").id, stop("c-4").id}
        assert await overflow(here) == ["c-0", "c-1", "c-2"]
        assert len(await here.tasks(is_live=True)) == 5


async def test_the_others_are_told_of_in_one_message(tmp_path: Path) -> None:
    async with world(tmp_path, limited(1)) as here:
        await here.read(*calls(5))
        await here.after(seconds=5)
        await here.after(minutes=20)
        assert len(here.receivers.to("slack")) == 1
        await here.read(resumption(calls(5)[0], "2026-03-02"))
        await here.after(minutes=15)
        _, digest = here.receivers.to("slack")
        said = json.loads(digest.body)["text"]
        assert said.count("様") == 3  # of four beyond the limit one is back
        await here.after(hours=2)
        assert len(here.receivers.to("slack")) == 2
        assert len(here.receivers.to("phone")) == 1


async def test_what_is_beyond_the_limit_neither_escalates_nor_nags(tmp_path: Path) -> None:
    async with world(tmp_path, limited(1)) as here:
        await here.read(*calls(2))
        await here.after(seconds=5)
        await here.after(hours=1)
        sent = len(here.receivers.requests)
        await here.read(stop("c-0", "2026-03-04", csm="csm-1", surprise=0.5))
        await here.after(hours=1)
        assert len(here.receivers.requests) == sent
        (left,) = [task for task in await here.tasks(is_live=True) if task.overflow]
        assert [fact.day.day for fact in left.raised] == [2, 4]


async def test_the_next_day_has_room_again(tmp_path: Path) -> None:
    async with world(tmp_path, limited(1)) as here:
        await here.read(*calls(2))
        await here.after(days=1)
        await here.read(stop("c-9", "2026-03-03", csm="csm-1"))
        await here.after(seconds=5)
        assert here.receivers.to("phone")[-1].headers["webhook-id"] == stop("c-9", "2026-03-03").id


async def test_a_csm_without_a_limit_waits_for_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, limited(1)) as here:
        await here.read(*(stop(f"c-{n}", csm="csm-2") for n in range(3)))
        await here.send()
        assert len(here.receivers.to("phone")) == 3


async def test_a_call_beyond_the_limit_can_be_taken_from_the_inbox(tmp_path: Path) -> None:
    async with world(tmp_path, limited(1)) as here:
        await here.read(*calls(2))
        await here.after(seconds=5)
        task = await here.notifier.desk.change(stop("c-0").id, lambda t, now: acknowledge(t, "csm-1", now))
        assert (task.state, task.overflow) == ("acknowledged", True)


async def test_calls_that_the_guard_lets_go_are_calls_of_that_day(tmp_path: Path) -> None:
    async with product(tmp_path, limited(2, peers=None), still_used=70) as here:
        await here.read(*calls(30))
        assert {task.holder for task in await here.tasks() if task.owner == "csm-1"} == {"outage"}
        await here.after(hours=2)
        waiting = [task for task in await here.tasks() if task.owner == "csm-1"]
        assert {task.held for task in waiting} == {"day:csm-1/2026-03-02"}
        assert here.receivers.to("phone") == []
        await here.after(seconds=3)
        called = {request.headers["webhook-id"] for request in here.receivers.to("phone")}
        assert called == {stop("c-28").id, stop("c-29").id}
        assert len(await overflow(here)) == 28


async def test_more_calls_than_are_looked_at_together_are_all_handed_out_or_put_by(tmp_path: Path) -> None:
    async with world(tmp_path, limited(2)) as here:
        for first in (0, 700):
            await here.read(
                *(stop(f"c-{n}", csm="csm-1", surprise=n / 1500) for n in range(first, first + 700))
            )
        await here.after(seconds=3)
        assert {task.held for task in await here.tasks()} == {None}
        called = {request.headers["webhook-id"] for request in here.receivers.to("phone")}
        assert called == {stop("c-1398").id, stop("c-1399").id}
        assert len(await overflow(here)) == 1398
