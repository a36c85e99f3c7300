"""A day on which many like customers fall silent: their calls wait for what the days after it show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.notifier.desk import guarding
from services.notifier.messages.wording import peers_said
from services.notifier.messages.words import words
from services.notifier.tasks.lifecycle import PEERS, Peers, Task
from tests.integration.notifier.test_outages import KEY, outage, product, stops
from tests.integration.notifier.world import World
from tests.unit.notifier.cases import resumption, retraction, stop


def waiting(tasks: list[Task]) -> list[str]:
    return sorted(task.customer_id for task in tasks if task.held == PEERS + KEY)


@asynccontextmanager
async def five_of_a_hundred(path: Path) -> AsyncIterator[World]:
    """So many stopped at one cutoff, which is what it takes, and a second later."""
    async with product(path, still_used=95, peers={}) as here:
        await here.read(*stops(5))
        await here.after(seconds=1)
        yield here


async def live(here: World) -> list[Task]:
    return list(await here.tasks(is_live=True))


async def test_calls_of_a_common_cause_do_not_go_out_one_by_one_and_say_why(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        await here.after(seconds=30)
        assert here.receivers.requests == []
        assert (await outage(here)).state == "common"
        tasks = await live(here)
        assert len(waiting(tasks)) == 5
        assert {task.peers for task in tasks} == {Peers(5, 100)}
        trail = [(row.change, row.detail) for row in await here.rows("task_history")]
        assert trail.count(("waits", "5 / 100")) == 5


async def test_one_stop_fewer_is_four_calls(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=96, peers={}) as here:
        await here.read(*stops(4))
        await here.send()
        assert len(here.receivers.to("phone")) == 4


async def test_whoever_is_still_silent_after_two_ordinary_days_is_called(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        await here.read(*(resumption(trigger, "2026-03-03") for trigger in stops(5)[1:]))
        await here.after(days=1, hours=23)
        assert here.receivers.to("phone") == []
        await here.settle_everybody()
        await here.after(hours=1, minutes=1)
        (request,) = here.receivers.to("phone")
        assert request.headers["webhook-id"] == stop("c-0").id
        (task,) = await live(here)
        assert (task.held, task.unverified, task.peers) == (None, False, Peers(5, 100))


async def test_a_day_that_is_late_to_settle_is_waited_for(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        await here.after(days=2, minutes=1)
        assert here.receivers.to("phone") == []
        await here.settle_everybody()
        await here.after(minutes=1)
        assert len(here.receivers.to("phone")) == 5


async def test_who_stops_later_at_the_same_cutoff_waits_with_the_others(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        await here.read(stop("c-8"))
        await here.after(seconds=1)
        assert waiting(await live(here)) == ["c-0", "c-1", "c-2", "c-3", "c-4", "c-8"]


async def test_a_burst_after_a_lone_stop_waits_though_that_one_went_out(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=95, peers={}) as here:
        await here.read(stop("c-0"))
        await here.send()
        assert len(here.receivers.to("phone")) == 1
        await here.read(*stops(6))
        await here.after(seconds=5)
        assert len(here.receivers.to("phone")) == 1
        assert waiting(await live(here)) == ["c-1", "c-2", "c-3", "c-4", "c-5"]


async def test_late_events_that_show_it_was_none_let_the_others_go(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        await here.read(retraction(stop("c-0")))
        await here.after(seconds=1)
        assert len(here.receivers.to("phone")) == 4


async def test_a_person_lets_them_go(tmp_path: Path) -> None:
    async with five_of_a_hundred(tmp_path) as here:
        async with here.database.read() as connection:
            assert [o.state for o in await guarding.held(connection, "reserve")] == ["common"]
        await here.notifier.desk.release(KEY, "csm-2")
        await here.after(seconds=1)
        assert len(here.receivers.to("phone")) == 5


async def test_one_in_three_is_a_suspected_outage_even_after_it_was_a_common_cause(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70, peers={}) as here:
        await here.read(*stops(10))
        await here.after(seconds=1)
        await here.read(*stops(30))
        assert (await outage(here)).state == "held"
        await here.after(hours=2)
        assert len(here.receivers.to("phone")) == 30


def test_why_a_call_waits_is_said_in_both_languages() -> None:
    peers = Peers(12, 200)
    assert "12 of 200" in peers_said(peers, words("en"), is_waiting=True)
    assert "200" in peers_said(peers, words("ja"), is_waiting=True)
    assert peers_said(peers, words("ja"), is_waiting=False) != peers_said(peers, words("ja"), is_waiting=True)
