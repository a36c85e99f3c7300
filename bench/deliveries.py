"""Deliveries a second by the sender against bare httpx: one client of as many connections, and ten of ten.

    python -m bench.deliveries [--count 1500] [--concurrency 50] [--rounds 3]

Everyone posts the same bodies to the same server. The receiver is a bare socket in a process of its own that
answers 204. The sender does all it does in life: claims with leases, looks at each task once more, signs,
records attempts and tasks (SQLite, every commit on disk). Then, with a Slack of the same kind: 1,000 stops at
once, from the moment they can be sent to Slack's 200, at one message a second.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import socket
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import date
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from bench.record import conclude, result
from bench.result import Figure, Result, Target, compare, rate
from services.notifier.delivery.sender import Sender
from services.notifier.parts import NotifierParts
from services.notifier.store import ledgers
from services.notifier.tasks.folding import take_trigger
from services.notifier.wiring import open_channels
from shared.auth import KeyRing
from shared.clock import SystemClock, rfc3339
from shared.config import Config
from shared.database import Database, open_sqlite
from shared.log.embedded import EmbeddedLog
from shared.metrics import DELIVERIES
from shared.schema import metadata
from shared.telemetry import configure_logging
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, encode_trigger, trigger_id

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
SLACK_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STOPS_AT_ONCE = 1000
WAIT_SECONDS_MAX = 300.0
OF_ONE = Target(at_least=5)
OF_TEN = Target(at_least=0.8)


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    # As in life, where each delivery has its line; what is said of anything else is not asked for here.
    with Path(os.devnull).open("w") as unread:
        configure_logging("INFO", stream=unread)
        with _receiver(ANSWER) as url:
            rounds = [_round(url, given.count, given.concurrency, number) for number in range(given.rounds)]
        with _receiver(SLACK_ANSWER) as url:
            seconds = asyncio.run(_slack(url))
    sender, one, ten = (
        rate(name, "deliveries", given.count, [took[name] for took in rounds])
        for name in ("sender", "one httpx client", "ten httpx clients of ten")
    )
    slowest = Figure(
        name=f"{STOPS_AT_ONCE:,} stops at once, at Slack, 99th percentile",
        unit="s",
        values=(quantiles(seconds, n=100)[98],),
    )
    return result(
        "deliveries",
        __doc__,
        load=f"{given.count:,} deliveries, {given.concurrency} at once, {given.rounds} rounds",
        figures=[sender, one, ten, slowest],
        comparisons=[compare(sender, one, OF_ONE), compare(sender, ten, OF_TEN)],
        parts=["aiohttp", "httpx", "sqlalchemy"],
    )


def _round(url: str, count: int, concurrency: int, number: int) -> dict[str, float]:
    """Everyone's seconds; each round begins with another one."""
    triggers = [_stop(n) for n in range(count)]
    bodies = [encode_trigger(trigger) for trigger in triggers]
    contestants: list[tuple[str, Coroutine[Any, Any, float]]] = [
        ("one httpx client", _bare(url, bodies, clients=1, connections=concurrency)),
        ("ten httpx clients of ten", _bare(url, bodies, clients=10, connections=10)),
        ("sender", _sender(_config(url, concurrency), triggers)),
    ]
    start = number % len(contestants)
    return {name: asyncio.run(run) for name, run in contestants[start:] + contestants[:start]}


async def _bare(url: str, bodies: list[bytes], *, clients: int, connections: int) -> float:
    """Seconds until all are answered by clients that do nothing else, each with so many at once."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    waiting = iter(bodies)

    async def post(client: httpx.AsyncClient) -> None:
        for body in waiting:
            answer = await client.post(url, content=body, headers={"content-type": "application/json"})
            assert answer.is_success

    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(httpx.AsyncClient(limits=limits, trust_env=False))
            for _ in range(clients)
        ]
        started = time.perf_counter()
        await asyncio.gather(*(post(client) for client in opened for _ in range(connections)))
        return time.perf_counter() - started


async def _sender(config: Config, triggers: list[Trigger]) -> float:
    """Seconds until every delivery is recorded as delivered."""
    with tempfile.TemporaryDirectory() as directory:
        database = open_sqlite(Path(directory) / "bench.sqlite3")
        try:
            await _fill(database, config, triggers)
            return await _run(database, config, len(triggers))
        finally:
            await database.close()


async def _slack(url: str) -> list[float]:
    """For each of the stops, seconds until the message that tells of it was answered."""
    config = _config(url, 1, kind="slack")
    with tempfile.TemporaryDirectory() as directory:
        database = open_sqlite(Path(directory) / "bench.sqlite3")
        try:
            await _fill(database, config, [_stop(n) for n in range(STOPS_AT_ONCE)])
            began_us = SystemClock().now_us()
            await _run(database, config, STOPS_AT_ONCE)
            async with database.read() as connection:
                rows = await connection.exec_driver_sql(
                    "SELECT at_us + took_us FROM attempts WHERE result = 'delivered'"
                )
                return [(ended_us - began_us) / 1_000_000 for ended_us in rows.scalars()]
        finally:
            await database.close()


async def _run(database: Database, config: Config, count: int) -> float:
    """Seconds until so many more deliveries are recorded."""
    aim = _delivered_count() + count
    clock = SystemClock()
    parts = NotifierParts(
        config=config,
        database=database,
        log=EmbeddedLog(database, clock),
        keys=KeyRing(database, clock),
        clock=clock,
        random=random.Random(1),
        public_url="https://calls.example",
    )
    channels = open_channels(parts)
    sender, stop = Sender(parts, channels), asyncio.Event()
    started = time.perf_counter()
    running = asyncio.create_task(sender.run(stop))
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while _delivered_count() < aim:  # noqa: ASYNC110 (nobody rings when the last one is recorded)
            await asyncio.sleep(0.01)
    took = time.perf_counter() - started
    stop.set()
    await running
    for channel in channels.values():
        await channel.close()
    await parts.log.close()
    return took


def _delivered_count() -> float:
    """Deliveries that this process has recorded as delivered."""
    (family,) = DELIVERIES.collect()
    wanted = {"channel": "hook", "result": "delivered"}
    return sum(s.value for s in family.samples if s.labels == wanted and s.name.endswith("_total"))


async def _fill(database: Database, config: Config, triggers: list[Trigger]) -> None:
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    now_us = SystemClock().now_us()
    for i in range(0, len(triggers), 500):
        some = triggers[i : i + 500]
        async with database.begin() as connection:
            ledger = await ledgers.open_ledger(connection, some, config.channels)
            for trigger in some:
                take_trigger(ledger, trigger, encode_trigger(trigger), config, now_us)
            await ledgers.write(connection, ledger)


def _stop(n: int) -> Trigger:
    now = rfc3339(SystemClock().now_us())
    day = "2026-03-02"
    values = {"product": "bench", "customer_id": f"c-{n}", "rule": "usage-stopped", "type": "usage.stopped"}
    return Trigger(
        id=trigger_id(**values, day=day, episode=day),
        type="usage.stopped",
        timestamp=now,
        data=TriggerData(
            product="bench",
            rule="usage-stopped",
            day=date.fromisoformat(day),
            decided_at=now,
            cutoff_at=now,
            surprise=0.97,
            streak=StreakFacts(length=41, calendar_days=41, started_on=None, last_active_on=None),
            customer=CustomerFacts(id=f"c-{n}", name=f"割烹 さくら {n}", phone="03-1234-5678"),
        ),
    )


def _config(url: str, concurrency: int, kind: str = "webhook") -> Config:
    webhook = {"secret": "whsec_" + "YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=", "concurrency": concurrency}
    channel = {"kind": kind, "url": url, "allow_private": True, "timing": "at_once"}
    return Config.model_validate(
        {
            "products": {"bench": {"playbooks": [{"on": "usage.stopped", "send": ["hook"]}]}},
            "channels": {"hook": channel | (webhook if kind == "webhook" else {})},
        }
    )


@contextmanager
def _receiver(answer: bytes) -> Iterator[str]:
    """A server in a process of its own, ended with the block."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    process = context.Process(target=_serve, args=(listener, answer, stop))
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/in"
    finally:
        stop.set()
        process.join()
        listener.close()


def _serve(listener: socket.socket, answer: bytes, stop: Flag) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, sock=listener)
        await asyncio.to_thread(stop.wait)
        server.close()

    asyncio.run(serve())


if __name__ == "__main__":
    conclude(main())
