"""F1 and F2 together: thousands of records through processes that are killed and frozen all along.

FAULTS=full makes it 30,000 records, 20 kills and 5 zombies. FAULTS_SEED draws who is hit, and when, again.
"""

import os
from random import Random

from tests.faults.conftest import OpenDistributed
from tests.faults.launching import Instance
from tests.faults.load import all_move, load
from tests.faults.place import DistributedPlace
from tests.faults.poster import Poster
from tests.faults.verdict import check

IS_FULL = os.environ.get("FAULTS") == "full"
RECORDS, KILLS, ZOMBIES = (30_000, 20, 5) if IS_FULL else (1_500, 4, 1)
PAUSE_SECONDS = 0.01 if IS_FULL else 0.1
SECONDS_MAX = 300.0
SEED = int(os.environ.get("FAULTS_SEED", "1"))


async def test_killed_and_frozen_all_along_nothing_is_lost_and_nothing_is_told_twice(
    open_distributed: OpenDistributed,
) -> None:
    random = Random(SEED)
    place = await open_distributed()
    crew = _Crew(place)
    await crew.begin()
    faults = ["kill"] * KILLS + ["zombie"] * ZOMBIES
    random.shuffle(faults)
    async with Poster(await place.make_key()) as poster:
        async with load(poster, lambda: crew.ingest, pause_seconds=PAUSE_SECONDS):
            for i, fault in enumerate(faults, start=1):
                await _acknowledged(place, poster, RECORDS * i // (len(faults) + 1))
                if fault == "kill":
                    await crew.kill(random.choice(("ingest", "first", "second")))
                else:
                    await crew.freeze_until_replaced(random.choice(("first", "second")))
            await _acknowledged(place, poster, RECORDS)
        seen = await place.rest(within_seconds=SECONDS_MAX)
        await check(place, acknowledged=poster.acknowledged, seen=seen)
    assert len(poster.acknowledged) >= RECORDS


class _Crew:
    """One ingest and two evaluators; whoever dies is replaced."""

    def __init__(self, place: DistributedPlace) -> None:
        self._place = place
        self._crew: dict[str, Instance] = {}
        self._count = 0

    @property
    def ingest(self) -> Instance:
        return self._crew["ingest"]

    async def begin(self) -> None:
        for role in ("ingest", "first", "second"):
            await self._start(role)

    async def kill(self, role: str) -> None:
        self._crew[role].kill()
        await self._start(role)

    async def freeze_until_replaced(self, role: str) -> None:
        self._crew[role].freeze()
        await all_move(self._place)
        self._crew[role].thaw()

    async def _start(self, role: str) -> None:
        self._count += 1
        services = ("ingest",) if role == "ingest" else ("evaluator",)
        self._crew[role] = await self._place.start(services, name=f"{role}-{self._count}")


async def _acknowledged(place: DistributedPlace, poster: Poster, count: int) -> None:
    await place.until(lambda _: len(poster.acknowledged) >= count, within_seconds=SECONDS_MAX)
