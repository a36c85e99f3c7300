"""Deliveries a second by the sender against a bare httpx loop: same server, same bodies, same concurrency.

    python -m bench.deliveries [--count 3000] [--concurrency 10] [--rounds 3]

The receiver is a bare socket in a process of its own that answers 204. The sender does all it does in
life: claims with leases, looks at each task once more, signs, records attempts and tasks (SQLite, every
commit on disk). Then, with a Slack of the same kind: 1,000 stops at once, from the moment they can be
sent to Slack's 200, at one message a second.
"""

import argparse
import asyncio
import multiprocessing
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from statistics import quantiles

import httpx

from bench.record import conclude, result
from bench.result import Figure, Result, compare, rate
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
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, encode_trigger, trigger_id

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
SLACK_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STOPS_AT_ONCE = 1000
WAIT_SECONDS_MAX = 300.0


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with _receiver(ANSWER) as url:
        rounds = [_round(url, given.count, given.concurrency) for _ in range(given.rounds)]
    with _receiver(SLACK_ANSWER) as url:
        seconds = asyncio.run(_slack(url))
    bare = rate("bare httpx loop", "deliveries", given.count, [took for took, _ in rounds])
    sender = rate("sender", "deliveries", given.count, [took for _, took in rounds])
    slowest = Figure(
        name=f"{STOPS_AT_ONCE:,} stops at once, at Slack, 99th percentile",
        unit="s",
        values=(quantiles(seconds, n=100)[98],),
    )
    return result(
        "deliveries",
        __doc__,
        load=f"{given.count:,} deliveries, {given.concurrency} at once, {given.rounds} rounds",
        figures=[sender, bare, slowest],
        comparisons=[compare(sender, bare)],
        parts=["httpx", "sqlalchemy"],
    )


def _round(url: str, count: int, concurrency: int) -> tuple[float, float]:
    """Seconds of the bare loop and of the sender."""
    triggers = [_stop(n) for n in range(count)]
    bare = asyncio.run(_bare(url, [encode_trigger(t) for t in triggers], concurrency))
    ours = asyncio.run(_sender(_config(url, concurrency), triggers))
    print(f"  bare {count / bare:,.0f} a second, sender {count / ours:,.0f} a second", flush=True)
    return bare, ours


async def _bare(url: str, bodies: list[bytes], concurrency: int) -> float:
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    waiting = iter(bodies)

    async def post(client: httpx.AsyncClient) -> None:
        for body in waiting:
            answer = await client.post(url, content=body, headers={"content-type": "application/json"})
            assert answer.is_success

    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        started = time.perf_counter()
        await asyncio.gather(*(post(client) for _ in range(concurrency)))
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
