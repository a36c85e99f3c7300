"""A cooldown over the whole notifier: noted, called when it is over, and never two open tasks."""

from pathlib import Path

import pytest

from services.notifier.tasks.lifecycle import finish, reopen
from shared.errors import Conflict
from tests.integration.notifier.world import world
from tests.unit.notifier.cases import config, resumption, stop

WEEK = config(playbooks=[{"on": "usage.stopped", "send": ["phone"], "cooldown": "7d"}])


async def test_a_stop_within_a_cooldown_is_called_when_it_is_over(tmp_path: Path) -> None:
    async with world(tmp_path, WEEK) as here:
        await here.read(stop())
        await here.send()
        await here.notifier.desk.change(stop().id, lambda t, now: finish(t, "csm-1", "reached", "", now))
        await here.read(resumption(stop()))
        await here.after(days=3)
        second = stop(day="2026-03-05")
        await here.read(second)
        await here.after(days=3)
        assert len(here.receivers.to("phone")) == 1
        assert len(await here.tasks()) == 1
        await here.after(days=1, seconds=1)
        assert [r.headers["webhook-id"] for r in here.receivers.to("phone")] == [stop().id, second.id]
        with pytest.raises(Conflict, match="newer task"):
            await here.notifier.desk.change(stop().id, lambda t, now: reopen(t, "csm-1", now))


async def test_who_is_back_within_the_cooldown_is_not_called_when_it_is_over(tmp_path: Path) -> None:
    async with world(tmp_path, WEEK) as here:
        await here.read(stop())
        await here.notifier.desk.change(stop().id, lambda t, now: finish(t, "csm-1", "reached", "", now))
        second = stop(day="2026-03-05")
        await here.read(resumption(stop()), second)
        await here.after(days=3)
        await here.read(resumption(second, "2026-03-06"))
        await here.after(days=30)
        assert len(await here.tasks()) == 1
