"""F25: a release is rolled out, and back, under load: its migration, then old and new side by side."""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import inspect, text

from tests.faults import next_release
from tests.faults.conftest import OpenDistributed
from tests.faults.launching import Instance
from tests.faults.load import all_move, load
from tests.faults.place import PARTITIONS, Place
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.verdict import check

ROOT = Path(__file__).parents[2]
COMMAND_SECONDS_MAX = 60.0
TIER = "gold"


async def test_a_release_rolled_out_and_back_under_load_loses_nothing_and_tells_nothing_twice(
    open_distributed: OpenDistributed,
) -> None:
    place = await open_distributed()
    key = await place.make_key()
    serving = [await place.start(("ingest",), name="old-ingest")]
    async with Poster(key) as poster:
        old = await place.start(("evaluator",), name="old")
        async with load(poster, lambda: serving[-1]):
            await play(place, poster, serving[-1], 1)
            status, said = await _migrate(place)
            assert (status, said) == (0, "the database's schema is this program's\n")
            assert await _has_column(place)

            new = await place.start(("evaluator",), name="new", **next_release.ENVIRONMENT)
            serving.append(await place.start(("ingest",), name="new-ingest", **next_release.ENVIRONMENT))
            await _both_read(place, poster, old, new)
            await _tell_tiers(place)
            await play(place, poster, serving[-1], 2)

            assert [await serving[0].end(), await old.end()] == [0, 0]
            await all_move(place)
            await play(place, poster, serving[-1], 3)

            # Something is wrong with the new release: the old one comes back, on the schema as it is.
            serving.append(await place.start(("ingest",), name="old-ingest-again"))
            again = await place.start(("evaluator",), name="old-again")
            assert [await serving[1].end(), await new.end()] == [0, 0]
            await all_move(place)
            await play(place, poster, serving[-1], 4)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=again))
    told = await _told_tiers(place)
    assert told
    assert set(told) == {TIER}, "who does not know a column leaves it as it is"


async def test_the_new_release_waits_for_its_schema_and_says_what_to_run(
    open_distributed: OpenDistributed,
) -> None:
    place = await open_distributed()
    await place.make_key()
    early = place.launch(("evaluator",), name="early", **next_release.ENVIRONMENT)
    assert await early.ended_within(COMMAND_SECONDS_MAX)
    assert early.exit_code == 1
    assert early.said().count("\n") == 1
    assert "run `usage-triggers migrate`" in early.said()


async def _both_read(place: Place, poster: Poster, *instances: Instance) -> None:
    """Returns once each of these has a part of the partitions, and every partition moves."""
    for instance in instances:
        await poster.until_metric(instance, "lag_records", lambda _: True, reader="evaluator")
    await all_move(place)
    assert len((await place.snapshot()).positions) == PARTITIONS


async def _migrate(place: Place) -> tuple[int | None, str]:
    """The command of the next release, to its end: its status, and what it said."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.next_release", "migrate"),
        cwd=ROOT,
        env=place.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode, said.decode()


async def _has_column(place: Place) -> bool:
    async with place.database.read() as connection:
        columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("customers"))
    return "tier" in {column["name"] for column in columns}


async def _tell_tiers(place: Place) -> None:
    """As the new release does: it writes what the old one has never heard of."""
    async with place.database.begin() as connection:
        await connection.execute(text("UPDATE customers SET tier = :tier"), {"tier": TIER})


async def _told_tiers(place: Place) -> list[str]:
    """Of the customers that existed when tiers were told; the others have none."""
    async with place.database.read() as connection:
        return list(
            await connection.scalars(text("SELECT tier FROM customers WHERE customer_id LIKE 'r1-%'"))
        )
