"""What the bench of growth measures: one evaluator over part of a topic, several over all, a full store."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

import asyncpg
import psutil

from bench.growth.member import DONE, READY
from bench.on_kafka import DAY_US, products, records_read
from deploy.migrations.upgrade import bring_up
from services.evaluator import engine
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState, encode_state
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import Evaluator
from shared.clock import SystemClock
from shared.config import DEFAULT_PRODUCT
from shared.database import open_postgres
from shared.events import Event, record_key
from shared.log import Log
from shared.partitioner import murmur2_partition
from tests.servers import KafkaServer, PostgresServer

HABIT_DAYS, TOPIC_DAYS = 40, 5
ROWS_PER_COPY = 50_000


async def one_evaluator(log: Log, url: str, partitions: int, counts: Sequence[int]) -> list[float]:
    """Seconds after which it has folded each of `counts` events, ascending, from the topic's beginning."""
    database = open_postgres(url)
    try:
        evaluator = Evaluator(
            log=log, store=EvaluatorStore(database), products=products(), clock=SystemClock()
        )
        before = records_read()
        while len(evaluator.partitions()) < partitions:
            await evaluator.step()
        begun, reached = time.perf_counter(), []
        for count in counts:
            while records_read() < before + count:
                await evaluator.step()
            reached.append(time.perf_counter() - begun)
        await evaluator.close()
        return reached
    finally:
        await database.close()


def several_evaluators(members: Sequence[subprocess.Popen[str]]) -> tuple[float, float]:
    """Seconds from the word until the last of the members has read what is its; and their processor time."""
    worked, begun = _cpu_seconds(members), time.perf_counter()
    for member in members:
        _pipe(member.stdin).write("\n")
        _pipe(member.stdin).flush()
    for member in members:
        _await_word(member, DONE)
    return time.perf_counter() - begun, _cpu_seconds(members) - worked


def _cpu_seconds(members: Sequence[subprocess.Popen[str]]) -> float:
    times = [psutil.Process(member.pid).cpu_times() for member in members]
    return float(sum(time.user + time.system for time in times))


def _await_word(member: subprocess.Popen[str], word: str) -> None:
    if _pipe(member.stdout).readline().strip() != word:
        raise RuntimeError(f"an evaluator ended before it was {word}")


@contextmanager
def members_waiting(
    kafka: KafkaServer, url: str, partitions: int, count: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """So many evaluators, each a process that has its share of the partitions and waits for the word."""
    command = [
        sys.executable,
        "-m",
        "bench.growth.member",
        kafka.bootstrap_servers,
        url,
        str(partitions // count),
    ]
    with ExitStack() as ended:
        members = []
        for _ in range(count):
            member = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ended.callback(member.wait)
            ended.callback(member.kill)
            members.append(member)
        for member in members:
            _await_word(member, READY)
        yield members


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


# A store that is full already


async def filled(postgres: PostgresServer, customers: int, partitions: int) -> tuple[str, float]:
    """A database with so many customers of forty days in it, and the bytes that each of them takes there."""
    url = await postgres.create_database()
    database = open_postgres(url)
    await bring_up(database)
    await database.close()
    product = products()[DEFAULT_PRODUCT]
    state = _state(product)
    value = encode_state(state)
    connection = await asyncpg.connect(url)
    try:
        for start in range(0, customers, ROWS_PER_COPY):
            names = [f"c-{n}" for n in range(start, min(customers, start + ROWS_PER_COPY))]
            rows = [
                (
                    DEFAULT_PRODUCT,
                    name,
                    murmur2_partition(record_key(DEFAULT_PRODUCT, name), partitions),
                    state.due_us,
                    value,
                )
                for name in names
            ]
            columns = ["product", "customer_id", "partition", "due_us", "state"]
            await connection.copy_records_to_table("customers", records=rows, columns=columns)
        # Else everybody would be looked at once by rules that nobody has seen.
        adopted = [(number, DEFAULT_PRODUCT, product.key) for number in range(partitions)]
        await connection.executemany("INSERT INTO adopted_products VALUES ($1, $2, $3)", adopted)
        await connection.execute("VACUUM ANALYZE customers")
        size = await connection.fetchval("SELECT pg_total_relation_size('customers')")
    finally:
        await connection.close()
    return url, size / max(customers, 1)


def _state(product: Product) -> CustomerState:
    """Forty days of use, all of them before the topic begins."""
    now_us = SystemClock().now_us()
    state: CustomerState | None = None
    for ago in range(HABIT_DAYS, 0, -1):
        used_us = now_us - (TOPIC_DAYS + ago) * DAY_US
        event = Event(
            product=product.id, customer_id="c", event_id=str(ago), occurred_us=used_us, received_us=used_us
        )
        state = engine.fold(
            state, event, product=product, appended_us=used_us, watermark_us=used_us - DAY_US // 24
        ).state
    assert state is not None
    return state
