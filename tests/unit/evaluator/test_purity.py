"""What is told is a pure function of the log: however, and by whomever, it is read."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.evaluator.worker import Evaluator
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS
from shared.triggers import encode_trigger
from tests.unit.evaluator.pipeline import Pipeline, pipeline, products_of

SEEDS = range(8)
DAYS = 12
CUSTOMERS = ("a", "b", "c", "d", "e", "f")
PARTITIONS = 2

RULES: dict[str, Any] = {
    "habit": {"kind": "streak", "days": 3, "repeat": True, "emit": "habit.formed"},
    "stopped": {
        "kind": "absence",
        "expect": "calendar",
        "cutoff": "14:00",
        "grace": "5m",
        "again_after_days": [2, 4],
    },
    "logins": {"kind": "absence", "expect": "calendar", "when": {"event": "login*"}, "emit": "login.stopped"},
}
OPTIONS = {"products": products_of(RULES)}


async def write_log(p: Pipeline, dice: random.Random) -> None:
    """A log of everything that can stand in one: uses in and out of time, ticks, profiles, erasures, excuses,
    history, poison."""
    for day in range(DAYS):
        for hour in sorted(dice.sample(range(24), 8)):
            p.at(day, hour, dice.randrange(60))
            for _ in range(dice.randrange(4)):
                await write_one(p, dice, day)
            if dice.random() < 0.6:
                await p.tick(dice.randrange(PARTITIONS))
    p.at(DAYS + 2)
    for partition in range(PARTITIONS):
        await p.tick(partition)
        await p.tick(partition)


async def write_one(p: Pipeline, dice: random.Random, day: int, *, erases: bool = True) -> None:
    who = dice.choice(CUSTOMERS)
    use: Callable[..., Awaitable[None]] = p.use
    name = dice.choice(("used", "login.web"))
    kinds: list[tuple[float, Callable[[], Awaitable[None]]]] = [
        (0.55, lambda: use(who, event=name)),
        (0.20, lambda: use(who, event=name, ago=timedelta(hours=dice.randrange(72)))),
        (0.04, lambda: use(who, ago=timedelta(days=50))),
        (0.03, lambda: use(who, ago=timedelta(days=dice.randrange(9)), backfill=True)),
        (0.05, lambda: p.profile(who, time_zone=dice.choice(("Asia/Tokyo", "America/Havana", "UTC")))),
        (0.03 * erases, lambda: p.erase(who)),
        (0.03, lambda: p.excuse(day - dice.randrange(3))),
        (0.04, lambda: p.poison(dice.randbytes(5))),
        (0.03, lambda: use(who, product="unknown")),
    ]
    write = dice.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]
    await write()


async def outbox(p: Pipeline) -> dict[str, list[bytes]]:
    """Everything decided, for each topic and customer in its order."""
    found: dict[str, list[bytes]] = {}
    for topic in (TOPIC_TRIGGERS, TOPIC_DEAD_LETTERS):
        for row in await p.store.unsent(topic, range(PARTITIONS), rows_max=100_000):
            # What has no customer has no order but that of its partition, which its place in the log tells.
            order = f"{row.product}/{row.customer_id}" if row.customer_id else row.value.decode()
            found.setdefault(f"{topic} {order}", []).append(row.value)
    return found


async def read_roughly(p: Pipeline, dice: random.Random) -> None:
    """Read the log with batches and sweeps of any size, by evaluators that are killed, wake up again as
    zombies, and share the partitions anew."""
    for _ in range(dice.randrange(20, 60)):
        evaluator: Evaluator = dice.choice(p.started)
        await evaluator.step()
        fate = dice.random()
        sizes = {
            "records_per_fetch_max": dice.choice((1, 2, 5, 30)),
            "customers_per_sweep_max": dice.choice((1, 2, 50)),
            "cached_customers_max": dice.choice((1, 3, 100)),
        }
        if fate < 0.2:
            p.restart(**sizes)
        elif fate < 0.3:
            p.join(**sizes)
        elif fate < 0.4:
            p.log.share_out("usage.events", "usage-triggers.evaluator")
    p.restart()
    await p.drain()


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_decided_does_not_depend_on_how_the_log_is_read(tmp_path: Path, seed: int) -> None:
    decided = []
    for reading in ("at once", "record by record", "roughly"):
        path = tmp_path / reading
        path.mkdir()
        async with pipeline(path, partitions=PARTITIONS, **OPTIONS) as p:
            await write_log(p, random.Random(seed))
            if reading == "record by record":
                p.restart(records_per_fetch_max=1, customers_per_sweep_max=1, cached_customers_max=1)
            if reading == "roughly":
                await read_roughly(p, random.Random(seed))
            await p.drain()
            decided.append(await outbox(p))
    assert sum(map(len, decided[0].values())) > 20, "a log of which next to nothing is told shows nothing"
    assert decided[1] == decided[0]
    assert decided[2] == decided[0]


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_what_is_told_while_it_happens_is_what_a_replay_tells(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with pipeline(tmp_path, partitions=PARTITIONS, **OPTIONS) as p:
        for day in range(DAYS):
            for hour in range(0, 24, 3):
                p.at(day, hour, dice.randrange(60))
                await write_one(p, dice, day, erases=False)
                await p.settle()
        live = {encode_trigger(trigger) for trigger in p.triggers()}
        log = p.log
    replayed = tmp_path / "replay"
    replayed.mkdir()
    async with pipeline(replayed, partitions=PARTITIONS, **OPTIONS) as p:
        p.log = log
        p.restart()
        await p.drain()
        again = await outbox(p)
    assert live
    replayed_triggers = [v for place, values in again.items() if TOPIC_TRIGGERS in place for v in values]
    assert {*replayed_triggers} == live
