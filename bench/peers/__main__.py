"""The evaluator against what a team would take instead: the same days, streaks and stops from the same topic.

    python -m bench.peers [--events 200000] [--a-day 20] [--rounds 2] [--only quixstreams]

Every one takes its turn alone, on real Kafka and a PostgreSQL that writes to the disk, catching up with some
days of use; what it found has to equal what was drawn before its time counts. The slow ones read a smaller
topic of the same kind. Peers notice a missed day when its customer is back; ours also judges everybody who is
silent, once at the end or, in a line of its own, at every midnight.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec

from bench.on_kafka import DAY_US, PARTITIONS, PARTS, opened_log, own_servers, server_versions
from bench.peers import environment, ours
from bench.peers.programs.job import State
from bench.peers.workload import DAYS, Load, Outcome, expected, fill, make_topic
from bench.record import conclude, result
from bench.result import Comparison, Figure, Result, Target, compare
from shared.clock import SystemClock
from shared.events import TOPIC_EVENTS
from tests.servers import KafkaServer, PostgresServer

OURS = "usage-triggers"
OURS_LIVE = "usage-triggers, told of every midnight"
SLOW_SHARE = 40
SECONDS_MAX = 120.0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the programs, and how far ahead of it we mean to be."""

    name: str
    program: str
    is_slow: bool
    ahead: Target


class Found(msgspec.Struct, kw_only=True):
    """What was measured: events a second of each, versions that programs told, what went wrong with whom."""

    rates: dict[str, list[float]] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []


ABOVE_THE_BARE_CLIENT = (
    "so many times its speed is more than a bare client reaches here that only decodes (bench-evaluator)"
)
PEERS = (
    Peer(
        name="bytewax, state in memory",
        program="bytewax_fold.py",
        is_slow=False,
        ahead=Target(at_least=2.7, why_missed=f"{ABOVE_THE_BARE_CLIENT}; it writes nothing while it runs"),
    ),
    Peer(
        name="quixstreams, RocksDB and changelog",
        program="quix.py",
        is_slow=False,
        ahead=Target(at_least=6, why_missed=ABOVE_THE_BARE_CLIENT),
    ),
    Peer(
        name="faust-streaming, state in memory",
        program="faust_table.py",
        is_slow=True,
        ahead=Target(at_least=70, why_missed=ABOVE_THE_BARE_CLIENT),
    ),
    Peer(
        name="one SELECT and UPDATE an event",
        program="select_update.py",
        is_slow=True,
        ahead=Target(
            at_least=500,
            why_missed="an event costs there little but a commit, and this disk is quick at commits",
        ),
    ),
)
Turn = Callable[[], Awaitable[tuple[float, Outcome]]]
"""Seconds, and what came of it."""


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--a-day", type=int, default=20, help="events of a customer on a day")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", help="peers whose name contains this")
    given = parser.parse_args()
    environment.interpreter()
    midnight_us = SystemClock().now_us() // DAY_US * DAY_US
    peers = [peer for peer in PEERS if given.only in peer.name]
    found = Found()
    fast, slow = ([peer for peer in peers if peer.is_slow is is_slow] for is_slow in (False, True))
    customers = given.events // DAYS // given.a_day
    large = Load(events=given.events, customers=customers, midnight_us=midnight_us)
    small = msgspec.structs.replace(
        large, events=given.events // SLOW_SHARE, customers=customers // SLOW_SHARE
    )
    live = msgspec.structs.replace(large, is_live=True)
    for load, name, others in ((large, OURS, fast), (live, OURS_LIVE, []), (small, "", slow)):
        with own_servers(durable=True) as (kafka, postgres):
            asyncio.run(_measure(kafka, postgres, load, name, others, given.rounds, found))
    return _result(large, given.rounds, peers, found)


async def _measure(
    kafka: KafkaServer,
    postgres: PostgresServer,
    load: Load,
    our_name: str,
    peers: Sequence[Peer],
    rounds: int,
    found: Found,
) -> None:
    """We, where we have a name, and the peers in turns."""
    found.versions |= await server_versions(postgres)
    wanted = expected(load)
    async with opened_log(kafka) as log:
        count = await fill(kafka.bootstrap_servers, load)
        turns: dict[str, Turn] = {}
        if our_name:
            turns[our_name] = partial(ours.run, log, postgres, count + load.tick_count)
        for peer in peers:
            turns[peer.name] = partial(_peer, kafka, postgres, peer, count, found)
        for _ in range(rounds):
            for name, turn in turns.items():
                await _take(name, turn, count, wanted, found)


async def _take(name: str, turn: Turn, count: int, wanted: Outcome, found: Found) -> None:
    try:
        seconds, outcome = await turn()
    except RuntimeError as error:
        found.notes.append(f"{name}: no figure, for {error}")
        print(f"{name}: {error}", flush=True)
        return
    differing = _differing(outcome, wanted)
    if differing and name in (OURS, OURS_LIVE):
        raise SystemExit(f"we are wrong about {differing}")
    if differing:
        found.notes.append(f"{name}: no figure, for it differs in {differing}")
        return
    found.rates.setdefault(name, []).append(count / seconds)
    print(f"{name}: {count / seconds:,.0f} events a second", flush=True)


def _differing(outcome: Outcome, wanted: Outcome) -> str:
    """In what two outcomes differ, in words; empty where they are equal."""
    customers = sum(outcome.states.get(name) != state for name, state in wanted.states.items())
    stops = len(outcome.stops ^ wanted.stops)
    return f"{customers} customers and {stops} stops" if customers or stops else ""


async def _peer(
    kafka: KafkaServer, postgres: PostgresServer, peer: Peer, count: int, found: Found
) -> tuple[float, Outcome]:
    url, stops_topic = await postgres.create_database(), f"stops-{uuid4().hex}"
    await make_topic(kafka.bootstrap_servers, stops_topic)
    try:
        with tempfile.TemporaryDirectory() as directory:
            arguments = (kafka.bootstrap_servers, TOPIC_EVENTS, stops_topic, str(count), url)
            await asyncio.to_thread(
                environment.run,
                peer.program,
                [*arguments, directory],
                seconds_max=SECONDS_MAX,
                log=Path(directory) / "said.log",
                added={"PARTITIONS": str(PARTITIONS)},
            )
            said = json.loads((Path(directory) / "outcome.json").read_text())
    finally:
        await postgres.drop_database(url)
    found.versions |= {name.replace("_", "-"): version for name, version in said["versions"].items()}
    return said["seconds"], Outcome(
        states={name: State(*state) for name, state in said["states"].items()},
        stops=frozenset((name, day) for name, day in said["stops"]),
    )


def _result(load: Load, rounds: int, peers: Sequence[Peer], found: Found) -> Result:
    figures = {
        name: Figure(name=name, unit="events/s", values=tuple(rates)) for name, rates in found.rates.items()
    }
    return result(
        "peers",
        __doc__,
        load=f"{load.events:,} events of {load.customers:,} customers over {DAYS} days "
        f"({load.events // SLOW_SHARE:,} of {load.customers // SLOW_SHARE:,} for the slow ones), "
        f"{PARTITIONS} partitions, {rounds} rounds",
        figures=sorted(figures.values(), key=lambda figure: -figure.median),
        comparisons=_comparisons(figures, peers),
        notes=list(dict.fromkeys(found.notes)),
        parts=PARTS,
        versions=found.versions,
    )


def _comparisons(figures: Mapping[str, Figure], peers: Sequence[Peer]) -> list[Comparison]:
    return [compare(figures[OURS], figures[peer.name], peer.ahead) for peer in peers if peer.name in figures]


if __name__ == "__main__":
    conclude(main())
