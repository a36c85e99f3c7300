"""F3, F7, F8, F9: the database is away, cut off, keeps its answer to COMMIT to itself, or is put back."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from services.foundations import DATABASE_NAME
from shared.events import TOPIC_TRIGGERS
from shared.failpoints import VARIABLE
from tests.faults.conftest import OpenDistributed, OpenEmbedded, through
from tests.faults.launching import Instance
from tests.faults.place import REST_SECONDS_MAX, DistributedPlace, Place, Snapshot
from tests.faults.poster import Item, Poster, days_ago, use
from tests.faults.rounds import play
from tests.faults.verdict import check
from tests.servers import PostgresServer
from tests.servers.proxy import Proxy

COMMITS_LOST = 6
SILENCE_NOTICED_SECONDS_MAX = 150.0
IS_FULL = os.environ.get("FAULTS") == "full"
_ONE, _TWO, _THREE = 1, 2, 3


async def test_partitions_are_taken_when_the_database_is_back_and_read_from_the_right_offset(
    open_distributed: OpenDistributed, postgres_server: PostgresServer
) -> None:
    """F3: it goes away in the middle of a claim, which had been read by another evaluator before."""
    place = await open_distributed()
    ingest = await place.start(("ingest",))
    async with Poster(await place.make_key()) as poster:
        first = await place.start(("evaluator",))
        await play(place, poster, ingest, _ONE)
        assert await first.end() == 0
        second = place.launch(("evaluator",), **{VARIABLE: "evaluator.claim.begun:2:stop"})
        await place.until(lambda _: second.is_frozen())
        postgres_server.kill()
        second.thaw()
        try:
            # Its key is known already, so ingest needs no database to take what is sent.
            assert await poster.post(ingest, [use("away", on=days_ago(5), id="away")]) == 202
            await _until(place, second, lambda: "the evaluator waits" in second.said())
            await second.ready()
            assert (await poster.get(second, "/readyz")).status_code == 503
            assert (await poster.get(second, "/healthz")).status_code == 200
        finally:
            postgres_server.start()
        await place.rest(alive=second)
        await play(place, poster, ingest, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=second))


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_database_that_comes_back_is_used_again_by_itself(
    open_distributed: OpenDistributed, postgres_server: PostgresServer, how: str
) -> None:
    """F3: with events on their way."""
    place = await open_distributed()
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, both, _ONE)
        try:
            if how == "killed":
                postgres_server.kill()
                assert await poster.post(both, [use("away", on=days_ago(5), id="away")]) == 202
                await _until(place, both, lambda: "the evaluator waits" in both.said())
            else:
                postgres_server.freeze()
                assert await poster.post(both, [use("away", on=days_ago(5), id="away")]) == 202
        finally:
            if how == "killed":
                postgres_server.start()
            else:
                postgres_server.thaw()
        await place.rest(alive=both)
        await play(place, poster, both, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))


async def test_a_commit_whose_answer_is_lost_has_one_effect(
    open_distributed: OpenDistributed, database_line: Proxy
) -> None:
    """F7: the server commits, and nobody hears of it; again and again."""
    place = await open_distributed()
    place.database_url = through(database_line, place.database_url)
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        for number in range(COMMITS_LOST):
            database_line.lose_answer_to(lambda request: b"COMMIT" in request)
            await play(place, poster, both, number)
            lost_min = number + 1
            await _until(place, both, partial(_has_lost, database_line, lost_min))
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
        assert database_line.lost_count >= COMMITS_LOST


async def test_another_takes_over_from_an_evaluator_whose_lines_to_the_database_are_closed(
    open_distributed: OpenDistributed, database_line: Proxy
) -> None:
    """F8: one of two evaluators loses the database and keeps the broker, which hears that it lives."""
    place = await open_distributed()
    async with Poster() as poster:
        ingest, cut_off, _ = await _two_evaluators(place, poster, database_line)
        database_line.cut()
        # A round needs every partition, so it ends only once the other has them all.
        await play(place, poster, ingest, _TWO)
        assert "the group is left" in cut_off.said()
        database_line.mend()
        await play(place, poster, ingest, _THREE)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest())
        assert cut_off.is_alive


@pytest.mark.parametrize("direction", ["both ways", "answers"])
async def test_an_evaluator_whose_lines_to_the_database_were_silent_decides_nothing_twice(
    open_distributed: OpenDistributed, database_line: Proxy, direction: str
) -> None:
    """F8: a silence is noticed after a minute (FAULTS=full waits for the other to take over); here it ends
    before, and what was held arrives."""
    place = await open_distributed()
    async with Poster() as poster:
        ingest, cut_off, other = await _two_evaluators(place, poster, database_line)
        database_line.hold(requests=direction == "both ways")
        names = [f"cut-{i}" for i in range(20)]
        for ago in (7, 6):
            await poster.post(ingest, [use(name, on=days_ago(ago), id=f"{name}-{ago}") for name in names])
        if IS_FULL:
            await place.rest(alive=other, within_seconds=SILENCE_NOTICED_SECONDS_MAX)
        else:
            # What the other has is read on meanwhile.
            await place.until(lambda seen: bool(seen.told("usage.stopped") & set(names)), alive=other)
        database_line.release()
        await place.rest()
        await play(place, poster, ingest, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest())
        assert cut_off.is_alive


async def _two_evaluators(
    place: DistributedPlace, poster: Poster, line: Proxy
) -> tuple[Instance, Instance, Instance]:
    """An ingest, an evaluator that reaches the database through `line`, and one that needs no line."""
    ingest = await place.start(("ingest",))
    poster.key = await place.make_key()
    direct = place.database_url
    place.database_url = through(line, direct)
    cut_off = await place.start(("evaluator",), name="cut-off")
    place.database_url = direct
    other = await place.start(("evaluator",), name="other")
    await play(place, poster, ingest, _ONE)
    return ingest, cut_off, other


async def test_a_database_put_back_tells_the_same_under_the_same_ids(
    open_distributed: OpenDistributed, postgres_server: PostgresServer
) -> None:
    """F9: copied, run on, put back; the log still has everything, and is read again from the old position."""
    place = await open_distributed()

    async def put_back(again: Callable[[], Awaitable[None]]) -> None:
        await place.database.close()
        await _copy(postgres_server.url, place.name, f"{place.name}_old")
        await again()
        await place.database.close()
        await _rename_over(postgres_server.url, f"{place.name}_old", place.name)

    async with Poster() as poster:
        before, _ = await _run_on_and_put_back(place, poster, put_back)
        both = await place.start()
        seen = await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
    assert _ids(seen) == _ids(before)
    sent = [record.value for records in (await place.records(TOPIC_TRIGGERS)).values() for record in records]
    assert len(sent) > len(set(sent)), "nothing was sent again: nothing was put back"
    assert len(set(sent)) == len(_ids(before))


async def test_a_file_put_back_tells_the_same_under_the_same_ids_once_its_events_are_sent_again(
    open_embedded: OpenEmbedded,
) -> None:
    """F9: the embedded log is in the same file, so what came after the copy has to be sent again."""
    place = await open_embedded()

    async def put_back(again: Callable[[], Awaitable[None]]) -> None:
        file, copy = place.data / DATABASE_NAME, place.directory / "copy"
        await asyncio.to_thread(_vacuum_into, file, copy)
        await again()
        await place.close()
        for leftover in place.data.glob(f"{DATABASE_NAME}-*"):
            leftover.unlink()
        copy.replace(file)
        place.open()

    async with Poster() as poster:
        before, items = await _run_on_and_put_back(place, poster, put_back)
        both = await place.start()
        for batch in items:
            assert await poster.post(both, batch) == 202
        seen = await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
    assert _ids(seen) == _ids(before)


async def _run_on_and_put_back(
    place: Place, poster: Poster, put_back: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
) -> tuple[Snapshot, list[Sequence[Item]]]:
    """Plays, copies the store, plays on, puts the copy back; returns what there was before, and what had been
    sent since the copy."""
    both = await place.start()
    poster.key = await place.make_key()
    await play(place, poster, both, _ONE)
    await place.rest(alive=both)
    assert await both.end() == 0
    items: list[Sequence[Item]] = [
        [use(f"later-{i}", on=days_ago(ago), id=f"later-{i}-{ago}") for ago in range(8, 3, -1)]
        for i in range(5)
    ]
    seen: list[Snapshot] = []

    async def again() -> None:
        both = await place.start()
        for batch in items:
            assert await poster.post(both, batch) == 202
        seen.append(await place.rest(alive=both))
        assert await both.end() == 0

    await put_back(again)
    return seen[0], items


def _has_lost(line: Proxy, count: int) -> bool:
    return line.lost_count >= count


async def _until(place: Place, alive: Instance, holds: Callable[[], bool]) -> None:
    """As `place.until`, while the database does not answer."""
    async with asyncio.timeout(REST_SECONDS_MAX):
        while not holds():
            await place.look_again(alive)


def _ids(seen: Snapshot) -> set[str]:
    return {entry.id for entry in seen.outbox}


def _vacuum_into(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])


async def _copy(server_url: str, name: str, copy: str) -> None:
    await _execute(server_url, f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')


async def _rename_over(server_url: str, name: str, over: str) -> None:
    await _execute(server_url, f'DROP DATABASE "{over}" WITH (FORCE)')
    await _execute(server_url, f'ALTER DATABASE "{name}" RENAME TO "{over}"')


async def _execute(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
