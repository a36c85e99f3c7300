"""Live pages hear of every change, whichever process made it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from services.notifier.store import board
from services.notifier.web.live import Pulse
from shared.errors import StoreUnavailable
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import stop

SECONDS_MAX = 10


def pulse_of(here: World, *, look_seconds: float = 0.01, gap_seconds: float = 0.0) -> Pulse:
    async def version() -> str:
        async with here.database.read() as connection:
            return await board.version(connection)

    return Pulse(version, look_seconds=look_seconds, gap_seconds=gap_seconds)


async def said(changes: AsyncGenerator[str | None, None]) -> str | None:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(changes)


async def test_what_another_process_changed_is_heard_by_looking(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pulse = pulse_of(here)  # nobody pokes it
        changes = pulse.changes("0.0")
        waiting = asyncio.ensure_future(said(changes))
        await here.read(stop())
        assert await waiting not in ("0.0", None)
        await changes.aclose()


async def test_what_this_process_changed_is_heard_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pulse = pulse_of(here, look_seconds=3_600)
        here.notifier.listen(pulse.poke)
        changes = pulse.changes("0.0")
        waiting = asyncio.ensure_future(said(changes))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        await here.read(stop())
        assert await waiting is not None
        await changes.aclose()


async def test_who_missed_something_while_cut_off_hears_it_first(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        changes = pulse_of(here, look_seconds=3_600).changes("0.0")
        assert await said(changes) is not None
        await changes.aclose()


async def test_a_thousand_changes_are_not_a_thousand_refreshes() -> None:
    versions = iter(map(str, range(1_000)))
    heard: list[str | None] = []

    async def version() -> str:
        return next(versions, "999")

    pulse = Pulse(version, look_seconds=0.0, gap_seconds=0.05)
    async for change in pulse.changes("none"):
        heard.append(change)
        if change == "999":
            break
    assert len(heard) < 500
    assert heard[-1] == "999"


async def test_while_the_database_is_away_nobody_is_told_anything_and_then_everything() -> None:
    answers = ["1", StoreUnavailable("away"), StoreUnavailable("away"), "2"]

    async def version() -> str:
        answer = answers.pop(0) if answers else "2"
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    changes = Pulse(version, look_seconds=0.0, gap_seconds=0.0).changes("1")
    assert await said(changes) == "2"
    await changes.aclose()


async def test_hanging_up_ends_every_stream_so_that_a_server_can_stop(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pulse = pulse_of(here, look_seconds=3_600)

        async def listen() -> list[str | None]:
            return [change async for change in pulse.changes("0.0")]

        listeners = [asyncio.ensure_future(listen()) for _ in range(3)]
        await asyncio.wait(listeners, timeout=0.05)
        pulse.hang_up()
        async with asyncio.timeout(SECONDS_MAX):
            assert await asyncio.gather(*listeners) == [[], [], []]


async def test_pages_that_open_at_once_share_one_look_and_leave_none_behind() -> None:
    may_answer = asyncio.Event()

    async def version() -> str:
        await may_answer.wait()
        return "1"

    pulse = Pulse(version, look_seconds=3_600, gap_seconds=0.0)
    others = asyncio.all_tasks()
    pages = [pulse.changes("0") for _ in range(2)]
    hearing = [asyncio.ensure_future(said(page)) for page in pages]
    await asyncio.wait(hearing, timeout=0.05)
    may_answer.set()
    assert await asyncio.gather(*hearing) == ["1", "1"]
    assert len(asyncio.all_tasks() - others) == 1
    for page in pages:
        await page.aclose()
    assert not pulse.is_looking


async def test_nobody_looks_while_nobody_listens() -> None:
    async def version() -> str:
        return "1"

    pulse = Pulse(version, look_seconds=0.0, gap_seconds=0.0)
    assert not pulse.is_looking
    changes = pulse.changes("0")
    assert await said(changes) == "1"
    assert pulse.is_looking
    await changes.aclose()
    assert not pulse.is_looking
