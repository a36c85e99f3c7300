"""F2: a process frozen past its session wakes as a zombie, and nothing that it had in hand counts."""

import asyncio

import pytest

from shared.failpoints import VARIABLE
from tests.faults.conftest import OpenEmbedded, distributed_place
from tests.faults.launching import Instance
from tests.faults.place import REST_SECONDS_MAX, Place
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.side_by_side import Outcome, run_all, wanted
from tests.faults.verdict import check
from tests.servers import KafkaServer, PostgresServer

FENCED = "no longer stands at offset"
GONE = "the database does not answer"
ZOMBIES = {
    # Frozen with decisions in memory: the compare-and-set refuses them.
    "evaluator.batch.decided:4": FENCED,
    "evaluator.sweep.decided:1": FENCED,
    # Frozen inside its transaction: the server ends that, so that the next owner need not wait for ever.
    "evaluator.batch.fenced:2": GONE,
    "evaluator.batch.written:2": GONE,
    # Frozen where there is nothing to refuse: its tick is old, and what it sends was sent by another.
    "evaluator.claim.begun:1": "",
    "ticker.read:2": "",
    "relay.read:1": "",
    "relay.appended:1": "",
}
_ONE, _TWO, _THREE = 1, 2, 3


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    broker: KafkaServer,
    postgres_server: PostgresServer,
) -> dict[str, Outcome[str]]:
    """What each zombie said after it woke."""
    directory = tmp_path_factory.mktemp("zombies")
    chosen = wanted(request, "test_a_zombie_changes_nothing")

    async def scenario(case: str) -> str:
        place = directory / case.replace(":", "-")
        async with distributed_place(place, broker, postgres_server) as opened, Poster() as poster:
            return await _zombie(opened, poster, case)

    return run_all([case for case in ZOMBIES if case in chosen], scenario)


@pytest.mark.parametrize("case", ZOMBIES)
def test_a_zombie_changes_nothing(outcomes: dict[str, Outcome[str]], case: str) -> None:
    assert ZOMBIES[case] in outcomes[case].get()


async def test_a_second_process_on_the_same_file_is_refused_also_while_the_first_is_frozen(
    open_embedded: OpenEmbedded,
) -> None:
    place = await open_embedded()
    first = await place.start()
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, first, _ONE)
        first.freeze()
        second = place.launch()
        assert await second.ended_within(REST_SECONDS_MAX)
        assert "in use by another usage-triggers" in second.said()
        first.thaw()
        await play(place, poster, first, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=first))


async def _zombie(place: Place, poster: Poster, case: str) -> str:
    """Plays while one evaluator freezes itself and another takes over; returns what the first says awake."""
    ingest = await place.start(("ingest",))
    poster.key = await place.make_key()
    first = place.launch(("evaluator",), **{VARIABLE: f"{case}:stop"})
    playing = asyncio.ensure_future(play(place, poster, ingest, _ONE))
    await place.until(lambda _: first.is_frozen())
    said_before = len(first.said())
    second = await place.start(("evaluator",))
    await playing
    await play(place, poster, ingest, _TWO)
    await place.rest(alive=second)
    first.thaw()
    await play(place, poster, ingest, _THREE)
    await _has_woken(place, first, case, said_before)
    await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=second))
    return first.said()[said_before:]


async def _has_woken(place: Place, zombie: Instance, case: str, said_before: int) -> None:
    await place.until(lambda _: ZOMBIES[case] in zombie.said()[said_before:])
    assert zombie.is_alive, "a zombie has to go on as a member, not to die"
