"""Killed by SIGKILL wherever something is committed, and started again, the evaluator tells the same.

The evaluator alone, on a clock that makes days pass; `tests/faults` kills everything, on both shapes.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Row

from services.evaluator.store import EvaluatorStore
from shared.database import Database, open_sqlite
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, TOPIC_TRIGGERS, DeadLetter
from shared.failpoints import POINTS, VARIABLE
from shared.schema import log_records
from shared.triggers import decode_trigger
from tests.integration.evaluator import program

REPOSITORY = Path(__file__).parents[3]
SECONDS_MAX = 60
HIT = 2
ONCE = ("schema.begun", "schema.written")
PLACES = [point for point in POINTS if point.split(".")[0] in ("evaluator", "ticker", "relay")]
CASES = [f"{place}:{HIT}" for place in PLACES] + [f"{place}:1" for place in ONCE]

Told = dict[str, tuple[str, str]]


async def run(directory: Path, failpoint: str | None = None) -> int:
    """Run the program to its end, whichever that is; returns its status."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if failpoint:
        environment[VARIABLE] = failpoint
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program.__name__,
        str(directory),
        cwd=REPOSITORY,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def told(directory: Path) -> Told:
    """What stands in the log: type, customer and day of each trigger by its id.

    Asserts that nothing is left unsent, and that every poisonous record has its dead letter.
    """
    database = open_sqlite(directory / program.FILE)
    try:
        await _assert_all_sent(database)
        triggers = [decode_trigger(row.value) for row in await _records(database, TOPIC_TRIGGERS)]
        letters = [
            msgspec.json.decode(row.value, type=DeadLetter)
            for row in await _records(database, TOPIC_DEAD_LETTERS)
        ]
        poison = [
            f"{TOPIC_EVENTS}/{row.partition}/{row.offset}"
            for row in await _records(database, TOPIC_EVENTS)
            if row.value == program.POISON.value
        ]
    finally:
        await database.close()
    assert {letter.origin for letter in letters} == set(poison)
    return {t.id: (t.type, f"{t.data.customer.id} {t.data.day}") for t in triggers}


async def _assert_all_sent(database: Database) -> None:
    for topic in (TOPIC_TRIGGERS, TOPIC_DEAD_LETTERS):
        assert await EvaluatorStore(database).unsent(topic, range(program.PARTITIONS), rows_max=1) == []


async def _records(database: Database, topic: str) -> list[Row[Any]]:
    async with database.read() as connection:
        query = log_records.select().where(log_records.c.topic == topic)
        return list(await connection.execute(query))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What a run that is never killed tells."""
    directory = tmp_path_factory.mktemp("unharmed")

    async def unharmed() -> Told:
        assert await run(directory) == 0
        return await told(directory)

    return asyncio.run(unharmed())


def test_the_history_tells_of_everything(expected: Told) -> None:
    kinds = Counter(kind for kind, _ in expected.values())
    assert min(kinds.values()) >= 2, kinds
    assert set(kinds) == {"habit.formed", "usage.stopped", "usage.stopped.retracted", "usage.resumed"}


@pytest.mark.parametrize("failpoint", CASES)
async def test_killed_anywhere_the_same_is_told(tmp_path: Path, expected: Told, failpoint: str) -> None:
    assert await run(tmp_path, failpoint) == -signal.SIGKILL
    assert await run(tmp_path) == 0
    assert await told(tmp_path) == expected


async def test_killed_again_and_again_the_same_is_told(tmp_path: Path, expected: Told) -> None:
    ends = [await run(tmp_path, f"{place}:{HIT}") for place in PLACES]
    assert ends.count(-signal.SIGKILL) > len(PLACES) / 2
    assert await run(tmp_path) == 0
    assert await told(tmp_path) == expected
