"""F1: killed at any named point, and started again, it has lost nothing and told nothing twice.

Every failpoint of the registry, the first three times it is reached, on both shapes. Hundreds of processes
start and die, and on Kafka each death takes the group six seconds to notice: so all of it happens at once, a
few scenarios side by side, and the tests look at the outcomes.
"""

import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import monotonic
from typing import NamedTuple

import pytest

from shared.failpoints import POINTS, VARIABLE
from tests.faults.conftest import distributed_place
from tests.faults.launching import Ended, Instance
from tests.faults.place import EVERYTHING, REST_SECONDS_MAX, SECTION, EmbeddedPlace, Place
from tests.faults.poster import Poster
from tests.faults.receiver import Receiver, all_delivered
from tests.faults.rounds import play, play_until_ended
from tests.faults.side_by_side import Outcome, run_all, wanted
from tests.faults.verdict import check
from tests.servers import KafkaServer, PostgresServer

HITS = (1, 2, 3)
CAUGHT_UP_SECONDS_MAX = 15.0
ONCE = ("schema.begun", "schema.written")
"""A process brings its schema up once, and the next one finds it there."""
OF_THE_EMBEDDED_LOG = ("log.append.begun", "log.append.committed")
AFTERWARDS = 99
"""The number of the round that follows the death."""


class Case(NamedTuple):
    """One scenario of this module."""

    shape: str
    point: str
    hit: int


CASES = [
    Case(shape, point, hit)
    for shape in ("embedded", "distributed")
    for point in POINTS
    if shape == "embedded" or point not in OF_THE_EMBEDDED_LOG
    for hit in ((1,) if point in ONCE else HITS)
]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, Outcome[float]]:
    """The outcomes of the cases that this session wants: how long each took to catch up."""
    cases = [case for case in CASES if case in wanted(request, "test_after_a_kill_all_is_as_it_should_be")]
    directory = tmp_path_factory.mktemp("kill-points")
    if any(case.shape == "distributed" for case in cases):
        request.getfixturevalue("broker")
        request.getfixturevalue("postgres_server")
    return run_all(cases, lambda case: _happens(case, directory / "-".join(map(str, case)), request))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_after_a_kill_all_is_as_it_should_be(outcomes: dict[Case, Outcome[float]], case: Case) -> None:
    assert outcomes[case].get() < REST_SECONDS_MAX


def test_half_of_them_have_caught_up_in_no_time(
    outcomes: dict[Case, Outcome[float]], record_property: Callable[[str, object], None]
) -> None:
    """A machine that is busy with eight scenarios at once makes some of them slow, not most."""
    seconds = [outcome.result for outcome in outcomes.values() if outcome.result is not None]
    if not seconds:
        pytest.skip("none of the kill points was asked for")
    record_property("caught_up_seconds_median", median(seconds))
    record_property("caught_up_seconds_max", max(seconds))
    assert median(seconds) < CAUGHT_UP_SECONDS_MAX


async def _happens(case: Case, directory: Path, request: pytest.FixtureRequest) -> float:
    """Plays until the process dies at its point, starts another; returns how long that took to catch up."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        services = (*EVERYTHING, "notifier") if case.point.startswith("notifier.") else EVERYTHING
        place = await _open(stack, case, directory, request, receiver)
        poster = await stack.enter_async_context(Poster())
        victim = place.launch(services, **{VARIABLE: f"{case.point}:{case.hit}"})
        await _play_until_killed(place, poster, victim)
        begun = monotonic()
        survivor = await place.start(services)
        poster.key = poster.key or await place.make_key()
        await poster.repeat(survivor)
        await place.rest(alive=survivor)
        caught_up_seconds = monotonic() - begun
        await play(place, poster, survivor, AFTERWARDS)
        seen = await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=survivor))
        if "notifier" in services:
            await all_delivered(place, receiver, seen)
        return caught_up_seconds


async def _play_until_killed(place: Place, poster: Poster, victim: Instance) -> None:
    try:
        await victim.ready()
        poster.key = await place.make_key()
        await play_until_ended(place, poster, victim)
    except Ended as ended:
        # As it should; that it was the failpoint and nothing else, its exit code says.
        said = str(ended)
    else:
        said = "it lives"
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
