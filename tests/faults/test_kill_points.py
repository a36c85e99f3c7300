"""F1: killed at any named point, and started again, it has lost nothing and told nothing twice.

Every failpoint of the registry, the first three times that it is reached, on both shapes. Many processes
start and die, and on Kafka each death takes the group six seconds to notice: so some scenarios happen side
by side, and each has three deaths: of a first, second and third process at the first, second and third time
that the point is reached.
"""

import signal
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from shared.failpoints import POINTS, VARIABLE
from tests.faults.conftest import Figure, distributed_place
from tests.faults.launching import Ended, Instance
from tests.faults.place import EVERYTHING, SECTION, EmbeddedPlace, Place
from tests.faults.poster import Poster
from tests.faults.receiver import Receiver, all_delivered
from tests.faults.rounds import play, play_until_ended
from tests.faults.side_by_side import Outcome, run_all, wanted
from tests.faults.verdict import check
from tests.servers import KafkaServer, PostgresServer

HITS = (1, 2, 3)
CAUGHT_UP_SECONDS = 15.0
ONCE = ("schema.begun", "schema.written")
"""A process brings its schema up once, and the one after the first that is not killed finds it there."""
OF_THE_EMBEDDED_LOG = ("log.append.begun", "log.append.committed")
AFTERWARDS = 9_999
"""The number of the round that follows the last death."""


class Case(NamedTuple):
    """One scenario of this module."""

    shape: str
    point: str


CASES = [
    Case(shape, point)
    for shape in ("embedded", "distributed")
    for point in POINTS
    if shape == "embedded" or point not in OF_THE_EMBEDDED_LOG
]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, Outcome[float]]:
    """The outcomes of the cases that this session wants: how long each took to catch up in the end."""
    chosen = wanted(request, "test_after_every_kill_all_is_as_it_should_be")
    cases = [case for case in CASES if case in chosen]
    directory = tmp_path_factory.mktemp("kill-points")
    if any(case.shape == "distributed" for case in cases):
        request.getfixturevalue("broker")
        request.getfixturevalue("postgres_server")
    return run_all(cases, lambda case: _happens(case, directory / "-".join(case), request))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_after_every_kill_all_is_as_it_should_be(
    outcomes: dict[Case, Outcome[float]], case: Case, figure: Figure
) -> None:
    figure(f"F1 caught up, {case.shape}", outcomes[case].get(), CAUGHT_UP_SECONDS)


async def _happens(case: Case, directory: Path, request: pytest.FixtureRequest) -> float:
    """Plays until the process dies at its point, three times; then a process that lives catches up."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        services = (*EVERYTHING, "notifier") if case.point.startswith("notifier.") else EVERYTHING
        place = await _open(stack, case, directory, request, receiver)
        poster = await stack.enter_async_context(Poster())
        for hit in (1,) * len(HITS) if case.point in ONCE else HITS:
            victim = place.launch(services, **{VARIABLE: f"{case.point}:{hit}"})
            await _play_until_killed(place, poster, victim)
        begun = monotonic()
        survivor = await place.start(services)
        poster.key = poster.key or await place.make_key()
        await poster.repeat(survivor)
        await place.rest(alive=survivor)
        caught_up_seconds = monotonic() - begun
        await play(place, poster, survivor, AFTERWARDS)
        seen = await place.rest(alive=survivor)
        await check(place, acknowledged=poster.acknowledged, seen=seen)
        if "notifier" in services:
            await all_delivered(place, receiver, seen)
        return caught_up_seconds


async def _play_until_killed(place: Place, poster: Poster, victim: Instance) -> None:
    said = "it lives"
    try:
        await victim.ready()
        poster.key = poster.key or await place.make_key()
        await poster.repeat(victim)
        await play_until_ended(place, poster, victim, first=len(place.instances) * 100)
    except Ended as ended:
        # As it should; that it was the failpoint and nothing else, its exit code says.
        said = str(ended)
    assert victim.exit_code == -signal.SIGKILL, said


async def _open(
    stack: AsyncExitStack, case: Case, directory: Path, request: pytest.FixtureRequest, receiver: Receiver
) -> Place:
    section, channels = receiver.configuration(SECTION)
    if case.shape == "embedded":
        return await stack.enter_async_context(EmbeddedPlace(directory, section, channels=channels))
    broker: KafkaServer = request.getfixturevalue("broker")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    place = distributed_place(directory, broker, server, section, channels=channels)
    return await stack.enter_async_context(place)
