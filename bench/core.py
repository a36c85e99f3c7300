"""The pure core: a year of days judged, against a loop over sets; and what a customer in memory takes.

    python -m bench.core [--customers 300] [--rounds 5]

All are told every day on which each customer was active, in a year with a miss now and then, and have to
find whose 28 days in a row are complete and which days began a silence: customer, what, and its day. The loop
keeps a set of days a customer and walks through the year: what one writes first, without a calendar, late
uses or a word of text. "decided" is the core up to the same answer, as it stands in the state it keeps:
settings and calendar, the days, what was told of them, and when to look again. "told in words" also makes the
triggers, of returns too: each with its id, surprise, reasons, streak and instants, which nobody else does.
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
from services.evaluator.core.state import AbsenceState, StreakState
from services.evaluator.folding import fold_records
from services.evaluator.partition import Partition, remember, strangers
from services.evaluator.replay import Uses, judge_customer, replay_customer
from shared.clock import SystemClock
from shared.config import ProductSection
from shared.events import Profile
from shared.log import Record

SEED = 20
YEAR = 365
FIRST_ON = 739_252
LAST_ON = FIRST_ON + YEAR - 1
SHARE_ACTIVE = 0.95
STREAK = 28
CACHED = 5_000
CACHED_DAYS = 30

TARGET = Target(at_least=1)
MEMORY_TARGET = Target(at_most=500)

Days = Mapping[int, Sequence[int]]
"""By customer the days on which it was active."""

Told = list[tuple[int, str, int]]
"""Customer, what, and its day."""

Judge = Callable[[Days], Told]


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    active = _drawn(given.customers)
    count = sum(map(len, active.values()))
    ways = {"decided": _decided, "told in words": _told, "loop over sets": _by_sets}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        answers = []
        for name, judge in ways.items():
            took, answer = _timed(judge, active)
            seconds[name].append(took)
            answers.append(answer)
        assert answers[0] == answers[1] == answers[2]
    ours, words, sets = (rate(name, "days", count, seconds[name]) for name in ways)
    memory = Figure(name="a customer in memory", unit="bytes", values=(_cached(),), target=MEMORY_TARGET)
    return result(
        "core",
        __doc__,
        load=f"{count:,} active days of {given.customers:,} customers, {given.rounds} rounds",
        figures=[ours, words, sets, memory],
        comparisons=[compare(ours, sets, TARGET), compare(words, sets)],
        parts=("msgspec",),
    )


def _drawn(customers: int) -> dict[int, list[int]]:
    random = Random(SEED)
    year = range(FIRST_ON, FIRST_ON + YEAR)
    return {
        number: [FIRST_ON] + [day for day in year[1:] if random.random() < SHARE_ACTIVE]
        for number in range(customers)
    }


def _timed(judge: Judge, active: Days) -> tuple[float, Told]:
    begun = time.process_time()
    told = judge(active)
    return time.process_time() - begun, sorted(told)


def _product() -> Product:
    rules = {
        "onboarding": {"kind": "streak", "days": STREAK},
        "stopped": {"kind": "absence", "expect": "calendar", "min_streak": 1, "grace": "0s"},
    }
    section = {"calendar": {"learn_closed_weekdays": False}, "rules": rules}
    return compile_product("default", ProductSection.model_validate(section))


def _decided(active: Days) -> Told:
    product = _product()
    told: Told = []
    for number, days in active.items():
        uses = Uses(days={"used": days})
        rules = judge_customer(Profile(), uses, product=product, last_on=LAST_ON).rules
        streak, stopped = rules["onboarding"], rules["stopped"]
        assert isinstance(streak, StreakState)
        assert isinstance(stopped, AbsenceState)
        told += [(number, "streak.reached", day) for day in streak.told]
        told += [(number, "usage.stopped", stop.day) for stop in stopped.told]
    return told


def _told(active: Days) -> Told:
    product = _product()
    told: Told = []
    for number, days in active.items():
        uses = Uses(days={"used": days})
        replayed = replay_customer("c", Profile(), uses, product=product, last_on=LAST_ON)
        told += [
            (number, trigger.type, trigger.data.day.toordinal())
            for trigger in replayed.triggers
            if trigger.type in ("streak.reached", "usage.stopped")
        ]
    return told


def _by_sets(active: Days) -> Told:
    days_of: dict[int, set[int]] = {}
    for number, days in active.items():
        for day in days:
            days_of.setdefault(number, set()).add(day)
    told: Told = []
    for number, used in days_of.items():
        streak, is_complete = 0, False
        for day in range(min(used), LAST_ON + 1):
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
