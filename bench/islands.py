"""A whole history replayed as if live, against the gaps-and-islands query in DuckDB and in PostgreSQL.

    python -m bench.islands [--rounds 5]

All find every run of days in a row, and so every first missed day, of the same file of days, and have to
agree before a time counts. DuckDB and ours begin with the file; PostgreSQL's nightly query finds the rows in
its table. "decided" is what the query does and no more: which days began a silence, as it stands in the state
that each customer ends in. The replay, on which the target stands, also makes every trigger that would have
been told, of returns too: each with its id, surprise, reasons, streak and instants.
"""

import argparse
import asyncio
import contextlib
import csv
import gzip
import io
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import asyncpg

from bench.backtest import usage_file
from bench.peers import environment
from bench.peers.ours import STOPPED, product
from bench.record import conclude, result
from bench.result import Figure, Result, Target, compare
from services.commands.histories import read_history
from services.commands.tables import Rejections
from services.evaluator.core.rules import Product
from services.evaluator.core.state import AbsenceState
from services.evaluator.replay import Uses, judge_customer, replay_customer
from shared.events import Profile
from tests.servers import find_postgres

Stops = frozenset[tuple[str, date]]
Island = tuple[str, date, date, int]
"""A customer's days in a row: the first, the last, and how many."""

SECONDS_MAX = 60.0
TARGET = Target(
    at_most=3.0,
    why_missed="what the query finds is decided in less time than it takes; four fifths go into telling it: "
    "a quarter into surprise and reasons, a fifth into ids and words, a fifth into streaks and instants",
)
QUERY = """
    WITH numbered AS (
        SELECT customer_id, day, day - CAST(row_number() OVER (PARTITION BY customer_id ORDER BY day) AS int)
               AS island
        FROM days
    )
    SELECT customer_id, min(day), max(day), count(*) FROM numbered GROUP BY customer_id, island
"""


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    return asyncio.run(_measure(parser.parse_args().rounds))


async def _measure(rounds: int) -> Result:
    replayed: list[float] = []
    decided: list[float] = []
    duckdb: list[float] = []
    nightly: list[float] = []
    with tempfile.TemporaryDirectory() as directory, closing(find_postgres(own=True)) as postgres:
        days, _, name = usage_file(Path(directory))
        known = _days(days)
        last_on = max(day for _, day in known)
        connection = await asyncpg.connect(postgres.url)
        await _fill(connection, known)
        server = (await connection.fetchval("SHOW server_version")).split()[0]
        for _ in range(rounds):
            begun = time.perf_counter()
            wanted = _replayed(days, product(), last_on)
            replayed.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            found_alone = _decided(days, product(), last_on)
            decided.append(time.perf_counter() - begun)
            assert found_alone == wanted, "what is decided differs from what is told"
            seconds, found, version = _duckdb(days, Path(directory))
            duckdb.append(seconds)
            assert _stops(found, last_on) == wanted, "DuckDB finds other days than we"
            begun = time.perf_counter()
            rows = await connection.fetch(QUERY)
            nightly.append(time.perf_counter() - begun)
            assert _stops((tuple(row) for row in rows), last_on) == wanted, "PostgreSQL finds others"
        await connection.close()
    ours = Figure(name="replay from the file", unit="s", values=tuple(replayed))
    least = Figure(name="decided from the file", unit="s", values=tuple(decided))
    query = Figure(name="DuckDB from the file", unit="s", values=tuple(duckdb))
    table = Figure(name="PostgreSQL from its table", unit="s", values=tuple(nightly))
    return result(
        "islands",
        __doc__,
        load=f"{name}: {len({id for id, _ in known})} customers, {len(known):,} active days, "
        f"{len(wanted):,} missed days told, {rounds} rounds",
        figures=[ours, least, query, table],
        comparisons=[compare(ours, query, TARGET), compare(least, query), compare(ours, table)],
        versions={"duckdb": version, "PostgreSQL": server},
    )


def _days(path: Path) -> list[tuple[str, date]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = {(row["customer_id"], date.fromisoformat(row["date"])) for row in csv.DictReader(lines)}
    return sorted(found)


async def _fill(connection: asyncpg.Connection, days: Iterable[tuple[str, date]]) -> None:
    await connection.execute("CREATE TABLE days (customer_id text, day date, PRIMARY KEY (customer_id, day))")
    await connection.copy_records_to_table("days", records=days)
    await connection.execute("VACUUM ANALYZE days")


def _read(path: Path, product: Product) -> Mapping[str, Uses]:
    with contextlib.redirect_stderr(io.StringIO()):
        return read_history(str(path), None, product, Rejections(print)).uses


def _decided(path: Path, product: Product, last_on: date) -> Stops:
    found = set()
    for customer_id, uses in _read(path, product).items():
        state = judge_customer(Profile(), uses, product=product, last_on=last_on.toordinal())
        kept = state.rules["stopped"]
        assert isinstance(kept, AbsenceState)
        found |= {(customer_id, date.fromordinal(stop.day)) for stop in kept.told}
    return frozenset(found)


def _replayed(path: Path, product: Product, last_on: date) -> Stops:
    return frozenset(
        (customer_id, trigger.data.day)
        for customer_id, uses in _read(path, product).items()
        for trigger in replay_customer(
            customer_id, Profile(), uses, product=product, last_on=last_on.toordinal()
        ).triggers
        if trigger.type == STOPPED
    )


def _duckdb(days: Path, directory: Path) -> tuple[float, list[Island], str]:
    outcome = directory / "islands.json"
    environment.run("islands.py", [str(days), str(outcome)], seconds_max=SECONDS_MAX, log=directory / "said")
    found = json.loads(outcome.read_text())
    islands = [
        (customer_id, date.fromisoformat(first), date.fromisoformat(last), count)
        for customer_id, first, last, count in found["islands"]
    ]
    return found["seconds"], islands, found["version"]


def _stops(islands: Iterable[Island], last_on: date) -> Stops:
    return frozenset(
        (customer_id, last + timedelta(days=1)) for customer_id, _, last, _ in islands if last < last_on
    )


if __name__ == "__main__":
    conclude(main())
