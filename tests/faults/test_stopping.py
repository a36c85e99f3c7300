"""F24: processes stop and start under load, one after the other, and no acknowledged event is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from tests.faults.conftest import Figure, OpenDistributed, OpenEmbedded
from tests.faults.load import all_move, load
from tests.faults.place import PARTITIONS, Place
from tests.faults.poster import Poster
from tests.faults.verdict import check

HANDED_OVER_SECONDS = 10.0
TIMES = 3
POSTED_MIN = 100


async def test_evaluators_replaced_one_after_the_other_hand_over_every_partition(
    open_distributed: OpenDistributed, figure: Figure
) -> None:
    place = await open_distributed()
    ingest = await place.start(("ingest",))
    async with Poster(await place.make_key()) as poster:
        old = [await place.start(("evaluator",), name=f"old-{i}") for i in (1, 2)]
        await place.until(lambda seen: len(seen.positions) == PARTITIONS)
        async with load(poster, lambda: ingest), _watched(place) as gaps:
            for i, instance in enumerate(old):
                assert await instance.end() == 0
                await place.start(("evaluator",), name=f"new-{i}")
                await all_move(place)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest())
        assert len(poster.acknowledged) >= POSTED_MIN
    for gap in gaps.values():
        figure("F24 a partition handed over", gap, HANDED_OVER_SECONDS)


async def test_ingests_replaced_one_after_the_other_lose_nothing(open_distributed: OpenDistributed) -> None:
    """A client that follows: what one ingest did not acknowledge any more the next one is sent."""
    place = await open_distributed()
    await place.start(("evaluator",))
    serving = [await place.start(("ingest",), name="first")]
    async with Poster(await place.make_key()) as poster:
        async with load(poster, lambda: serving[-1]):
            for i in range(TIMES):
                serving.append(await place.start(("ingest",), name=f"next-{i}"))
                assert await serving[-2].end() == 0
                await _post_some(place, poster)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest())


async def test_one_process_stopped_under_load_finishes_what_it_accepted(
    open_embedded: OpenEmbedded, figure: Figure
) -> None:
    place = await open_embedded()
    serving = [await place.start(name="first")]
    async with Poster(await place.make_key()) as poster:
        async with load(poster, lambda: serving[-1]):
            for i in range(TIMES):
                await _post_some(place, poster)
                begun = monotonic()
                assert await serving[-1].end() == 0
                serving.append(await place.start(name=f"next-{i}"))
                figure("F24 one process replaced", monotonic() - begun, HANDED_OVER_SECONDS)
        seen = await place.rest(alive=serving[-1])
        await check(place, acknowledged=poster.acknowledged, seen=seen)


async def _post_some(place: Place, poster: Poster) -> None:
    """Returns once so many more events have been acknowledged."""
    wanted = len(poster.acknowledged) + POSTED_MIN
    await place.until(lambda _: len(poster.acknowledged) > wanted)


@asynccontextmanager
async def _watched(place: Place) -> AsyncIterator[dict[int, float]]:
    """How long, at the most, each partition's time stood still meanwhile, in seconds."""
    gaps: dict[int, float] = dict.fromkeys(range(PARTITIONS), 0.0)
    stop = asyncio.Event()

    async def watch() -> None:
        moved = dict.fromkeys(range(PARTITIONS), (0, monotonic()))
        while not stop.is_set():
            for number, (_, watermark_us) in (await place.snapshot()).positions.items():
                last_us, since = moved[number]
                gaps[number] = max(gaps[number], monotonic() - since)
                if watermark_us > last_us:
                    moved[number] = (watermark_us, monotonic())
            await place.look_again()

    task = asyncio.create_task(watch())
    try:
        yield gaps
        stop.set()
        await task
    finally:
        task.cancel()
