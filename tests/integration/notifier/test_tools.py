"""Phone and task tools by preset, through the whole notifier: made, found again, closed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from services.notifier.channels.http import Answer
from services.notifier.tasks.lifecycle import acknowledge, finish
from shared import schema
from shared.config import Config
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import HOUR, resumption, stop
from tests.unit.notifier.channels.presets import WITH

MADE = Answer(status=201, body=b'{"id": "512"}')
SILENT = Answer(error="no answer in time", uncertain=True)


def with_tool(preset: str = "hubspot", **values: Any) -> Config:
    channel = {"kind": "webhook", "preset": preset, "with": {**WITH[preset], **values}}
    playbook = {"on": "usage.stopped", "send": ["crm"]}
    return Config.model_validate(
        {
            "products": {"reserve": {"time_zone": "Asia/Tokyo", "playbooks": [playbook]}},
            "channels": {"crm": channel},
            "csms": {"csm-1": {"name": "佐藤", "hours": "00:00-23:59", "language": "ja"}},
        }
    )


def told(here: World) -> list[tuple[str, str]]:
    return [(r.method, r.url.removeprefix("https://api.hubapi.com")) for r in here.receivers.requests]


CREATED = ("POST", "/crm/v3/objects/tasks")
COMPLETED = ("PATCH", "/crm/v3/objects/tasks/512")
SOUGHT = ("POST", "/crm/v3/objects/tasks/search")


async def test_a_call_made_here_is_completed_there_and_nothing_before(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", MADE)
        await here.read(stop(csm="csm-1"))
        await here.send()
        await here.notifier.desk.change(stop().id, lambda t, now: acknowledge(t, "csm-1", now))
        await here.send()
        assert told(here) == [CREATED]
        await here.notifier.desk.change(stop().id, lambda t, now: finish(t, "csm-1", "reached", "", now))
        await here.send()
        assert told(here) == [CREATED, COMPLETED]
        assert "話せた" in here.receivers.requests[-1].body.decode()


async def test_a_customer_that_is_back_completes_it_too(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", MADE)
        await here.read(stop(csm="csm-1"))
        await here.send()
        await here.read(resumption(stop()))
        await here.send()
        assert told(here) == [CREATED, COMPLETED]


async def test_a_second_day_of_silence_makes_no_second_task(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", MADE)
        await here.read(stop())
        await here.send()
        await here.read(stop(day="2026-03-04", episode_day=3))
        await here.send()
        assert told(here) == [CREATED]
        again = {d.kind: (d.state, d.last_error) for d in await here.deliveries()}["again"]
        assert again == ("cancelled", "the tool has a task for this call already")


async def test_a_tool_that_timed_out_after_making_the_task_is_asked_before_another(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", SILENT, Answer(status=200, body=b'{"results": [{"id": "512"}]}'))
        await here.read(stop())
        await here.send()
        await here.after(seconds=7)
        assert told(here) == [CREATED, SOUGHT]
        await here.read(resumption(stop()))
        await here.send()
        assert told(here)[2:] == [COMPLETED]


async def test_a_customer_that_cannot_be_written_loses_neither_its_task_nor_others(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool("twilio")) as here:
        await here.read(stop("c-1"), stop("c-2", csm="csm-1"))
        await here.send()
        states = {d.customer_id: (d.state, d.last_error) for d in await here.deliveries()}
        assert states["c-2"] == ("delivered", "")
        assert states["c-1"][0] == "dead"
        assert "there is no number to ring for nobody" in states["c-1"][1]
        assert all(task.is_live for task in await here.tasks())


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_a_tool_that_refuses_everything_is_given_a_rest(tmp_path: Path, status: int) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", *[Answer(status=status)] * 100)
        await here.read(*(stop(f"c-{n}") for n in range(40)))
        await here.send()
        assert len(here.receivers.requests) == 5  # in a row, and no more
        await here.after(seconds=5)
        assert len(here.receivers.requests) == 6  # a probe
        await here.after(seconds=9)
        assert len(here.receivers.requests) == 6
        here.receivers.scripts.clear()
        await here.after(seconds=2)
        assert {d.state for d in await here.deliveries()} == {"delivered"}


async def test_a_probe_that_succeeds_while_nothing_else_is_due_ends_the_trouble(tmp_path: Path) -> None:
    async with world(tmp_path, with_tool()) as here:
        here.receivers.will_answer("hubapi", *[Answer(status=500)] * 5)
        await here.read(*(stop(f"c-{n}") for n in range(5)))
        await here.send()
        here.clock.advance(timedelta(seconds=7))
        sender = here.notifier.sender
        (probe,) = await sender.claim()
        async with here.database.begin() as connection:
            await connection.execute(
                update(schema.deliveries)
                .where(schema.deliveries.c.lease_until_us.is_(None))
                .values(next_attempt_us=here.clock.now_us() + HOUR)
            )
        assert await sender.claim() == ()
        await sender.deliver(probe)
        await sender.record()
        ((_, disabled_us, _, failure_count, rests_until_us),) = await here.rows("channel_states")
        assert (disabled_us, failure_count, rests_until_us) == (None, 0, None)
