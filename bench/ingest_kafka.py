"""Ingest over HTTP on real Kafka, acks=all, against the same route without it and one that awaits each send.

    python -m bench.ingest_kafka [--rounds 7] [--batch 500] [--connections 16] [--singles 64]

Each is one uvicorn worker in a process of its own, on the event loop and with the memory settings that the
services have, asked in turns by the same client (`bench/posting.py`): one epoll loop that costs a seventh of
the worker's time in single events and a thirtieth in batches. Broker, worker and client share the machine,
and what each of them costs is in the figures by the clock. The worker's own processor time is told beside
them; it does not know how many processors there are.
"""

import argparse
import asyncio
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as Flag

import msgspec
from aiokafka import AIOKafkaProducer

from bench.asgi import Appending, CountingLog, assembled_ingest
from bench.ingest_route import native_batch
from bench.on_kafka import opened_log
from bench.posting import Asking, connected, post
from bench.record import conclude, result
from bench.result import Comparison, Figure, Result, Target, compare, rate
from services.commands.serve import run
from services.process_memory import settle_memory
from services.serving import bind, serve
from shared.log import Message
from tests.servers import KafkaServer, find_kafka
from tests.servers.jars import KAFKA_VERSION

ACCEPTED = b"HTTP/1.1 202"
START_SECONDS_MAX = 60.0
BATCH_REQUESTS, SINGLE_REQUESTS = 240, 6_000
_CPUCLOCK_SCHED = 2  # of a clock's number that names a process, see clock_getcpuclockid(3)
OF_SINGLES = Target(
    at_least=0.9,
    why_missed="an event costs the worker a fifth more: its append, a second turn of the loop, a share of a "
    "produce request; by the clock broker and client take their part of the processors too (decision 0132)",
)
WITHOUT, OURS, AWAITING = "without Kafka", "ingest on Kafka", "a send awaited an event"

Opened = Callable[[], AbstractAsyncContextManager[Appending]]


class AwaitingLog:
    """What one would write first: every event is sent by itself, and all are awaited."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        sent = [await self._producer.send(topic, message.value, key=message.key) for message in messages]
        await asyncio.gather(*sent)

    async def check(self) -> None:
        """Always there."""


class Worker(msgspec.Struct, frozen=True):
    """A process that serves ingest on a port, and a key for it."""

    name: str
    port: int
    key: str
    pid: int


class Took(msgspec.Struct, frozen=True):
    """Seconds of one round: by the clock, and of the worker's processor time."""

    wall: float
    cpu: float


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--connections", type=int, default=16, help="that post batches")
    parser.add_argument("--singles", type=int, default=64, help="connections that post single events")
    given = parser.parse_args()
    with closing(find_kafka(own=True)) as kafka, ExitStack() as stack:
        asyncio.run(_make_topics(kafka))
        workers = [stack.enter_context(_worker(name, log)) for name, log in _logs(kafka).items()]
        batches = _rounds(workers, given.batch, given.connections, BATCH_REQUESTS, given.rounds)
        singles = _rounds(workers, 1, given.singles, SINGLE_REQUESTS, given.rounds)
    figures, comparisons = _found(
        batches, f"by {given.batch}", given.batch * BATCH_REQUESTS, Target(at_least=0.4)
    )
    more, others = _found(singles, "single", SINGLE_REQUESTS, OF_SINGLES)
    return result(
        "ingest_kafka",
        __doc__,
        load=f"{given.rounds} rounds of {BATCH_REQUESTS} batches of {given.batch} over {given.connections} "
        f"connections and of {SINGLE_REQUESTS:,} single events over {given.singles}",
        figures=[*figures, *more],
        comparisons=[*comparisons, *others],
        notes=[
            "Until decision 0132 the first ratio by the clock was 0.65, at a third of the speed: all of them "
            "waited for acknowledgements that a client delays."
        ],
        parts=["aiokafka", "fastapi", "msgspec", "uvicorn"],
        versions={"Apache Kafka": KAFKA_VERSION},
    )


def _found(
    took: dict[str, list[Took]], how: str, events: int, target: Target
) -> tuple[list[Figure], list[Comparison]]:
    """Everyone's rates, and ours against the others': by the clock, with targets, and by processor time."""
    wall = {
        name: rate(f"{name}, {how}", "events", events, [one.wall for one in rounds])
        for name, rounds in took.items()
    }
    cpu = {
        name: rate(f"{name}, {how}, processor time", "events", events, [one.cpu for one in rounds])
        for name, rounds in took.items()
    }
    thrice = Target(at_least=3) if how != "single" else None
    comparisons = [
        compare(wall[OURS], wall[WITHOUT], target),
        compare(wall[OURS], wall[AWAITING], thrice),
        compare(cpu[OURS], cpu[WITHOUT]),
        compare(cpu[OURS], cpu[AWAITING]),
    ]
    return [*wall.values(), *cpu.values()], comparisons


def _logs(kafka: KafkaServer) -> dict[str, Opened]:
    @asynccontextmanager
    async def without() -> AsyncIterator[Appending]:
        yield CountingLog()

    @asynccontextmanager
    async def awaiting() -> AsyncIterator[Appending]:
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, acks="all", enable_idempotence=True
        ) as producer:
            yield AwaitingLog(producer)

    return {WITHOUT: without, OURS: lambda: opened_log(kafka), AWAITING: awaiting}


async def _make_topics(kafka: KafkaServer) -> None:
    async with opened_log(kafka):
        pass


@contextmanager
def _worker(name: str, log: Opened) -> Iterator[Worker]:
    """Ingest on what `log` opens, in a process of its own, ended with the block."""
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)
    stop = context.Event()
    with bind("127.0.0.1", 0) as listener:
        process = context.Process(target=_serve, args=(log, listener, tell, stop))
        process.start()
        try:
            assert told.poll(START_SECONDS_MAX), f"{name} does not come up"
            yield Worker(name, listener.getsockname()[1], told.recv(), process.pid or 0)
        finally:
            stop.set()
            process.join()


def _serve(log: Opened, listener: socket.socket, tell: Connection, stop: Flag) -> None:
    async def served() -> None:
        async with log() as opened, assembled_ingest(opened) as (assembly, key):

            async def on_ready() -> None:
                tell.send(key)

            told = asyncio.Event()
            settle_memory()
            serving = asyncio.create_task(serve(assembly, listener, on_ready=on_ready, stop=told))
            await asyncio.to_thread(stop.wait)
            told.set()
            await serving

    run(served())


def _rounds(
    workers: Sequence[Worker], batch: int, connections: int, requests: int, rounds: int
) -> dict[str, list[Took]]:
    """What everyone took in each round, beginning with another one each time; the first round warms up."""
    took: dict[str, list[Took]] = {worker.name: [] for worker in workers}
    for number in range(rounds + 1):
        start = number % len(workers)
        for worker in [*workers[start:], *workers[:start]]:
            one = _round(worker, batch, connections, requests)
            if number:
                took[worker.name].append(one)
    return took


def _round(worker: Worker, batch: int, connections: int, requests: int) -> Took:
    accepted = msgspec.json.encode({"accepted": batch, "rejected": []})
    asking = Asking(request=_request(worker, batch), begins=ACCEPTED, ends=accepted)
    with connected(worker.port, connections, asking) as opened:
        cpu = _cpu_seconds(worker)
        wall = post(opened, requests)
        return Took(wall, _cpu_seconds(worker) - cpu)


def _request(worker: Worker, batch: int) -> bytes:
    posted = native_batch(batch, worker.key)
    headers = {"host": "127.0.0.1", "content-length": str(len(posted.body)), **posted.headers}
    lines = [f"POST {posted.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + posted.body


def _cpu_seconds(worker: Worker) -> float:
    """The processor time of another process, in nanoseconds where `/proc` knows hundredths of a second."""
    return time.clock_gettime(~worker.pid << 3 | _CPUCLOCK_SCHED)


if __name__ == "__main__":
    conclude(main())
