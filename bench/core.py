"""The pure core: a year of days judged, against a loop over sets; and what a customer in memory takes.

    python -m bench.core [--customers 300] [--rounds 5]

Both are told every day on which each customer was active, in a year with a miss now and then, and have to
find whose 28 days in a row are complete and which days began a silence. The loop keeps a set of days a
customer and walks through the year: what one writes first, without a calendar, late uses or a word of text.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from random import Random

from bench.on_kafka import DAY_US, products, use
from bench.record import conclude, result
from bench.result import Figure, Result, Target, compare, rate
from services.evaluator.changes import Position
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.folding import fold_records
from services.evaluator.partition import Partition, remember, strangers
from services.evaluator.replay import DatedUse, replay_customer
from shared.clock import SystemClock
from shared.config import ProductSection
from shared.events import Profile
from shared.log import Record

SEED = 20
YEAR = 365
FIRST_ON = 739_252
SHARE_ACTIVE = 0.95
STREAK = 28
CACHED = 5_000
CACHED_DAYS = 30

TARGET = Target(
    at_least=1,
    why_missed="most of the time goes into what is told: a stop's surprise, its streak, its id, its words",
)
MEMORY_TARGET = Target(at_most=500)

Told = list[tuple[int, str, int]]
"""Customer, what, and its day."""


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    active = _drawn(given.customers)
    count = sum(map(len, active.values()))
    core: list[float] = []
    loop: list[float] = []
    for _ in range(given.rounds):
        seconds, found = _timed(lambda: _by_core(active))
        core.append(seconds)
        seconds, expected = _timed(lambda: _by_sets(active))
        loop.append(seconds)
        assert found == expected
    ours, sets = rate("core", "days", count, core), rate("loop over sets", "days", count, loop)
    memory = Figure(name="a customer in memory", unit="bytes", values=(_cached(),), target=MEMORY_TARGET)
    return result(
        "core",
        __doc__,
        load=f"{count:,} active days of {given.customers:,} customers, {given.rounds} rounds",
        figures=[ours, sets, memory],
        comparisons=[compare(ours, sets, TARGET)],
        parts=("msgspec",),
    )


def _drawn(customers: int) -> dict[int, list[int]]:
    random = Random(SEED)
    year = range(FIRST_ON, FIRST_ON + YEAR)
    return {
        number: [FIRST_ON] + [day for day in year[1:] if random.random() < SHARE_ACTIVE]
        for number in range(customers)
    }


def _timed(judge: Callable[[], Told]) -> tuple[float, Told]:
    begun = time.process_time()
    told = judge()
    return time.process_time() - begun, sorted(told)


def _product() -> Product:
    rules = {
        "onboarding": {"kind": "streak", "days": STREAK},
        "stopped": {"kind": "absence", "expect": "calendar", "min_streak": 1, "grace": "0s"},
    }
    section = {"calendar": {"learn_closed_weekdays": False}, "rules": rules}
    return compile_product("default", ProductSection.model_validate(section))


def _by_core(active: Mapping[int, Sequence[int]]) -> Told:
    product = _product()
    told: Told = []
    for number, days in active.items():
        uses = [DatedUse(None, day) for day in days]
        replayed = replay_customer("c", Profile(), uses, product=product, last_on=FIRST_ON + YEAR - 1)
        told += [
            (number, trigger.type, trigger.data.day.toordinal())
            for trigger in replayed.triggers
            if trigger.type in ("streak.reached", "usage.stopped")
        ]
    return told


def _by_sets(active: Mapping[int, Sequence[int]]) -> Told:
    days_of: dict[int, set[int]] = {}
    for number, days in active.items():
        for day in days:
            days_of.setdefault(number, set()).add(day)
    told: Told = []
    for number, used in days_of.items():
        streak, is_complete = 0, False
        for day in range(min(used), FIRST_ON + YEAR):
            if day in used:
                streak += 1
                if streak == STREAK and not is_complete:
                    is_complete = True
                    told.append((number, "streak.reached", day))
            else:
                if streak:
                    told.append((number, "usage.stopped", day))
                streak = 0
    return told


def _cached() -> float:
    """Bytes a customer in the memory of a partition, after some weeks of daily use."""
    partition = Partition(
        Position(partition=0, next_offset=0, watermark_us=0),
        products=products(),
        excused={},
        next_due_us=None,
        cached_max=2 * CACHED,
    )
    now_us = SystemClock().now_us()
    tracemalloc.start()
    for n in range(CACHED_DAYS):
        records = [_record(f"customer-{i}", n, now_us - (CACHED_DAYS - n) * DAY_US) for i in range(CACHED)]
        remember(partition, strangers(records, partition), {})
        fold_records(partition, records)
    del records
    held, _ = tracemalloc.get_traced_memory()
    del partition
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (held - left) / CACHED


def _record(customer_id: str, number: int, occurred_us: int) -> Record:
    message = use(customer_id, number, occurred_us)
    return Record(partition=0, offset=number, appended_us=occurred_us, key=message.key, value=message.value)


if __name__ == "__main__":
    conclude(main())
