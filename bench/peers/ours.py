"""Our evaluator at the peers' job: literal days in UTC, state and outbox in PostgreSQL."""

import time

import asyncpg

from bench.on_kafka import PARTITIONS, records_read
from bench.peers.programs.job import State
from bench.peers.workload import PRODUCT, Outcome
from deploy.migrations.upgrade import bring_up
from services.evaluator.core.filters import EVERY_EVENT
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.core.state import CustomerState, decode_state
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import Evaluator
from shared.clock import EPOCH, SystemClock
from shared.config import ProductSection
from shared.database import open_postgres
from shared.log import Log
from shared.triggers import decode_trigger
from tests.servers import PostgresServer

STOPPED = "usage.stopped"
_EPOCH_DAY = EPOCH.toordinal()


async def run(log: Log, postgres: PostgresServer, record_count: int) -> tuple[float, Outcome]:
    """Seconds from the moment it has all partitions to the last record folded and customer judged."""
    url = await postgres.create_database()
    database = open_postgres(url)
    try:
        await bring_up(database)
        store, clock = EvaluatorStore(database), SystemClock()
        evaluator = Evaluator(log=log, store=store, products={PRODUCT: product()}, clock=clock)
        until = records_read() + record_count
        while len(evaluator.partitions()) < PARTITIONS:
            await evaluator.step()
        begun = time.perf_counter()
        while records_read() < until or len(evaluator.awaiting_ticks()) < PARTITIONS:
            await evaluator.step()
        seconds = time.perf_counter() - begun
        await evaluator.close()
        return seconds, await _outcome(url)
    finally:
        await database.close()
        await postgres.drop_database(url)


def product() -> Product:
    """Every day expected, every missed one told the moment it is over."""
    stopped = {"kind": "absence", "expect": "calendar", "grace": "0s", "min_streak": 1, "emit": STOPPED}
    section = {"calendar": {"learn_closed_weekdays": False}, "rules": {"stopped": stopped}}
    return compile_product(PRODUCT, ProductSection.model_validate(section))


async def _outcome(url: str) -> Outcome:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT customer_id, state FROM customers")
        told = await connection.fetch("SELECT value FROM outbox WHERE topic = 'usage.triggers'")
    finally:
        await connection.close()
    triggers = [decode_trigger(row["value"]) for row in told]
    return Outcome(
        states={row["customer_id"]: _state(decode_state(row["state"])) for row in rows},
        stops=frozenset(
            (trigger.data.customer.id, trigger.data.day.toordinal() - _EPOCH_DAY)
            for trigger in triggers
            if trigger.type == STOPPED
        ),
    )


def _state(kept: CustomerState) -> State:
    active = kept.active[EVERY_EVENT]
    last = active.bit_length() - 1
    streak = next(n for n in range(1, last + 2) if n > last or not active >> (last - n) & 1)
    return State(kept.base + last - _EPOCH_DAY, streak, active.bit_count())
