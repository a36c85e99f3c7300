"""From the acceptance of the deciding event to the first byte at a webhook receiver, on Kafka and PostgreSQL.

    python -m bench.event_to_webhook_real [--runs 200] [--background 1000]

Ingest, evaluator and notifier are processes of their own, as `usage-triggers` starts them. Other customers'
events keep coming meanwhile, so many a second; none of them decides anything. The deciding event is that of
`bench.event_to_webhook`: a new customer's first.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import quantiles

import httpx
import msgspec
import yaml

from bench.event_to_webhook import Receiver, config_sections, milliseconds
from bench.on_kafka import PARTITIONS, PARTS, opened_log, own_servers, server_versions
from bench.record import conclude, result
from bench.result import Result, Target
from deploy.migrations.upgrade import bring_up
from services.serving import bind
from shared.auth import KeyRing
from shared.clock import SystemClock
from shared.database import open_postgres
from tests.servers import KafkaServer, PostgresServer

SERVICES = ("ingest", "evaluator", "notifier")
BACKGROUND_CUSTOMERS = 200
EVENTS_PER_POST = 20
PAUSE_SECONDS = 0.05
QUIET_SECONDS = 3.0
START_SECONDS_MAX = 60.0
END_SECONDS_MAX = 20.0
WAIT_SECONDS_MAX = 30.0


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--background", type=int, default=1_000, help="events a second")
    given = parser.parse_args()
    with own_servers() as (kafka, postgres):
        took = asyncio.run(_measure(kafka, postgres, given.runs, given.background))
        versions = asyncio.run(server_versions(postgres))
    percentiles = quantiles(took, n=100)
    return result(
        "event_to_webhook_real",
        __doc__,
        load=f"{given.runs} runs, one after the other, {given.background:,} other events a second",
        figures=[
            milliseconds("accepted event to the first byte", took, Target(at_most=50)),
            milliseconds("the same, 99th percentile", [percentiles[98]], Target(at_most=250)),
        ],
        parts=PARTS,
        versions=versions,
    )


async def _measure(kafka: KafkaServer, postgres: PostgresServer, runs: int, background: int) -> list[float]:
    receiver = Receiver()
    sections = config_sections(await receiver.open())
    key = await _prepared(kafka, postgres)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "usage-triggers.yaml"
        file.write_text(yaml.safe_dump(sections))
        stack = ExitStack()
        try:
            urls = [stack.enter_context(_process(service, file, kafka, postgres)) for service in SERVICES]
            for url in urls:
                await _ready(url)
            return await _asked(urls[0], key, receiver, runs, background)
        finally:
            await asyncio.to_thread(stack.close)  # so that the receiver sees the notifier hang up


async def _asked(url: str, key: str, receiver: Receiver, runs: int, background: int) -> list[float]:
    """Seconds of each run, after one that warms up."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http,
        _others(http, receiver, background),
    ):
        return [await _one(http, receiver, run) for run in range(runs + 1)][1:]


async def _prepared(kafka: KafkaServer, postgres: PostgresServer) -> str:
    """Tables, topics, and a key."""
    async with opened_log(kafka):
        database = open_postgres(postgres.url)
        try:
            await bring_up(database)
            return await KeyRing(database, SystemClock()).create("bench")
        finally:
            await database.close()


@contextmanager
def _process(service: str, file: Path, kafka: KafkaServer, postgres: PostgresServer) -> Iterator[str]:
    """A service in a process of its own, ended with the block; its address."""
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    given = {
        "USAGE_TRIGGERS_CONFIG": str(file),
        "DATABASE_URL": postgres.url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "services.cli", service]
    process = subprocess.Popen(command, env=os.environ | given, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(END_SECONDS_MAX)


async def _ready(url: str) -> None:
    async with asyncio.timeout(START_SECONDS_MAX), httpx.AsyncClient(base_url=url, trust_env=False) as http:
        while True:
            try:
                if (await http.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet.
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _others(http: httpx.AsyncClient, receiver: Receiver, per_second: int) -> AsyncIterator[None]:
    """Events of others within the block; what their first ones have decided has arrived before it."""
    for start in range(0, BACKGROUND_CUSTOMERS, EVENTS_PER_POST):
        await _post_others(http, start)
    began = time.perf_counter()
    while time.perf_counter() - max(began, receiver.first_byte_at) < QUIET_SECONDS:  # noqa: ASYNC110
        await asyncio.sleep(QUIET_SECONDS / 10)  # nobody rings when nothing comes any more
    posting = asyncio.create_task(_keep_posting(http, EVENTS_PER_POST / per_second))
    try:
        yield
    finally:
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
    if posting.done() and not posting.cancelled() and (error := posting.exception()) is not None:
        raise error


async def _keep_posting(http: httpx.AsyncClient, every_seconds: float) -> None:
    """A post every so often by the clock, whatever each of them takes."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as posts:
        number = 0
        while True:
            start = number * EVENTS_PER_POST % BACKGROUND_CUSTOMERS
            posts.create_task(_post_others(http, start))
            number += 1
            await asyncio.sleep(max(0.0, started + number * every_seconds - time.perf_counter()))


async def _post_others(http: httpx.AsyncClient, start: int) -> None:
    events = [{"customer_id": f"other-{start + n}"} for n in range(EVENTS_PER_POST)]
    answer = await http.post(
        "/v1/events", content=msgspec.json.encode(events), headers={"content-type": "application/json"}
    )
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text


async def _one(http: httpx.AsyncClient, receiver: Receiver, run: int) -> float:
    receiver.came.clear()
    answer = await http.post("/v1/events", json={"customer_id": f"c-{run}"})
    accepted_at = time.perf_counter()
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await receiver.came.wait()
    await asyncio.sleep(PAUSE_SECONDS)
    return receiver.first_byte_at - accepted_at


if __name__ == "__main__":
    conclude(main())
