"""F16: many cutoffs at one instant are settled while events still flow; FAULTS=full makes it 100,000."""

import asyncio
import os

from shared.log import Message
from tests.faults.conftest import OpenPlace
from tests.faults.cutoffs import Cutoff, soon
from tests.faults.place import Place
from tests.faults.poster import Poster, use
from tests.faults.verdict import check

IS_FULL = os.environ.get("FAULTS") == "full"
DUE = 100_000 if IS_FULL else 3_000
SECONDS_TO_CUTOFF = 120 if IS_FULL else 12
SECONDS_MAX = 600.0
SILENT_OF = 33
"""Every so manieth customer is silent: some three in a hundred."""

APPENDED_AT_ONCE = 6_000
POSTED_AT_ONCE = 50


async def test_everybody_due_at_one_instant_is_settled_while_events_still_flow(open_place: OpenPlace) -> None:
    cutoff = soon(SECONDS_TO_CUTOFF)
    place = await open_place(cutoff.section)
    both = await place.start()
    names = [f"c-{i}" for i in range(DUE)]
    silent = set(names[::SILENT_OF])
    async with Poster(await place.make_key()) as poster:
        await _append(place, cutoff, names, silent)
        await place.rest(alive=both, within_seconds=SECONDS_MAX)
        while not await _are_told(place, silent):
            newcomers = [
                use(f"n-{len(poster.acknowledged) + i}", id=f"n-{len(poster.acknowledged) + i}")
                for i in range(POSTED_AT_ONCE)
            ]
            assert await poster.post(both, newcomers) == 202
        flowed = len(poster.acknowledged)
        seen = await place.rest(alive=both, within_seconds=SECONDS_MAX)
        await check(place, acknowledged=poster.acknowledged, seen=seen)
    assert seen.silent() == silent
    assert flowed >= POSTED_AT_ONCE


async def _append(place: Place, cutoff: Cutoff, names: list[str], silent: set[str]) -> None:
    """A habit for everybody, of which the silent have nothing today."""
    waiting: list[Message] = []
    for name in names:
        waiting += cutoff.days(name, (3, 2, 1))
        if name not in silent:
            waiting.append(cutoff.use_before(name))
        if len(waiting) >= APPENDED_AT_ONCE:
            await place.append(waiting)
            waiting = []
    await place.append(waiting)


async def _are_told(place: Place, silent: set[str]) -> bool:
    async with asyncio.timeout(SECONDS_MAX):
        return (await place.snapshot()).silent() >= silent
