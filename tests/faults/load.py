"""A client under which processes come and go, and the sign that every partition is read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.faults.launching import Instance
from tests.faults.place import PARTITIONS, Place
from tests.faults.poster import Poster, days_ago, use

EVENTS_PER_POST = 10
REPEATED_SECONDS_MAX = 30.0


@asynccontextmanager
async def load(
    poster: Poster, to: Callable[[], Instance], *, pause_seconds: float = 0.05
) -> AsyncIterator[None]:
    """A client that posts whenever it is answered, and sends again what was not acknowledged."""
    stop = asyncio.Event()

    async def post() -> None:
        number = 0
        while not stop.is_set():
            items = [
                use(f"l-{number}-{i}", on=days_ago(ago), id=f"l-{number}-{i}-{ago}")
                for i in range(EVENTS_PER_POST // 5)
                for ago in range(9, 4, -1)
            ]
            number += 1
            instance = to()
            if await poster.post(instance, items) != 202:
                await instance.ended_within(0.1)
                await _repeat(poster, to)
            await instance.ended_within(pause_seconds)
        await _repeat(poster, to)

    task = asyncio.create_task(post())
    try:
        yield
        stop.set()
        await task
    finally:
        task.cancel()


async def _repeat(poster: Poster, to: Callable[[], Instance]) -> None:
    """To whoever serves by now."""
    async with asyncio.timeout(REPEATED_SECONDS_MAX):
        while poster.unacknowledged:
            batch = poster.unacknowledged.pop(0)
            if await poster.post(to(), batch) != 202:
                await to().ended_within(0.1)


async def all_move(place: Place) -> None:
    """Returns once somebody has told every partition the time again."""
    before = (await place.snapshot()).positions
    await place.until(
        lambda seen: all(seen.positions[number][1] > before[number][1] for number in range(PARTITIONS))
    )
