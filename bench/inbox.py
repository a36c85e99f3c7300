"""The inbox's pages with thousands of open tasks: time to the first byte, over a socket, one after the other.

    python -m bench.inbox [--tasks 5000] [--runs 40]

Customers of forty contact windows and twelve CSMs, in an embedded store; the pages are what a CSM's browser
asks for: the whole page, one task, and the list alone, as it is asked for after each change.
"""

import argparse
import asyncio
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles

import httpx

from bench.record import conclude, result
from bench.result import Figure, Result
from services.bootstrap import Foundations, assemble
from services.foundations import embedded
from services.notifier.store import ledgers
from services.notifier.tasks.folding import take_trigger
from services.notifier.tasks.ledger import Ledger
from services.serving import bind, serve, url_of
from shared.clock import SystemClock, from_us
from shared.config import Config
from shared.settings import Settings
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, encode_trigger, trigger_id

PRODUCT, RULE, STOPPED = "reserve", "usage-stopped", "usage.stopped"
WINDOW_COUNT, CSM_COUNT = 40, 12
TASKS_PER_WRITE = 500
Run = tuple[float, float]
"""Milliseconds to the first byte, and milliseconds of processor for the whole."""

LIST = {"HX-Request": "true", "HX-Target": "list"}


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=40)
    given = parser.parse_args()
    figures: list[Figure] = []
    for name, took in asyncio.run(_measure(given.tasks, given.runs)).items():
        waited, worked = tuple(run[0] for run in took), tuple(run[1] for run in took)
        figures += [
            Figure(name=f"{name}, first byte", unit="ms", values=waited),
            Figure(name=f"{name}, 95th percentile", unit="ms", values=(quantiles(waited, n=20)[-1],)),
            Figure(name=f"{name}, processor", unit="ms", values=worked),
        ]
    return result(
        "inbox",
        __doc__,
        load=f"{given.tasks:,} open tasks, {given.runs} runs",
        figures=figures,
        parts=["fastapi", "jinja2", "sqlalchemy"],
    )


async def _measure(task_count: int, runs: int) -> dict[str, list[Run]]:
    with tempfile.TemporaryDirectory() as directory, bind("127.0.0.1", 0) as listener:
        settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": Path(directory)})
        async with embedded(_config(), settings, SystemClock()) as base:
            first_id = await _fill(base, task_count)
            ready, stop = asyncio.Event(), asyncio.Event()

            async def on_ready() -> None:
                ready.set()

            served = asyncio.create_task(serve(assemble(base), listener, on_ready=on_ready, stop=stop))
            await ready.wait()
            try:
                async with httpx.AsyncClient(base_url=url_of(listener), trust_env=False) as client:
                    return await _ask(client, first_id, runs)
            finally:
                stop.set()
                await served


async def _ask(client: httpx.AsyncClient, task_id: str, runs: int) -> dict[str, list[Run]]:
    asked = {
        "the inbox": ("/?who=all", {}),
        "one CSM's": ("/?who=csm-3", {}),
        "a call beside its list": (f"/tasks/{task_id}", {}),
        "the list, after a change": ("/?who=all", LIST),
        "the list of 500 rows": ("/?who=all&rows=500", LIST),
    }
    return {name: [await _run(client, *what) for _ in range(runs)] for name, what in asked.items()}


async def _run(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> Run:
    started, worked, took = time.perf_counter(), time.process_time(), 0.0
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.status_code
        async for _ in answer.aiter_raw():
            took = took or time.perf_counter() - started
    return 1_000 * took, 1_000 * (time.process_time() - worked)


def _config() -> Config:
    csms = {
        f"csm-{n}": {"name": f"CSM {n}", "time_zone": "Asia/Tokyo", "hours": "00:00-23:59"}
        for n in range(CSM_COUNT)
    }
    rules = {RULE: {"kind": "absence", "emit": STOPPED}}
    product = {"time_zone": "Asia/Tokyo", "rules": rules, "playbooks": [{"on": STOPPED}]}
    return Config.model_validate({"products": {PRODUCT: product}, "csms": csms})


async def _fill(base: Foundations, task_count: int) -> str:
    """The id of the first task."""
    now_us = base.clock.now_us()
    today = from_us(now_us).date()
    for start in range(0, task_count, TASKS_PER_WRITE):
        ledger = Ledger(channels={})
        for n in range(start, min(task_count, start + TASKS_PER_WRITE)):
            trigger = _trigger(n, today)
            take_trigger(ledger, trigger, encode_trigger(trigger), base.config, now_us)
        async with base.database.begin() as connection:
            await ledgers.write(connection, ledger)
    return _trigger(0, today).id


def _trigger(n: int, today: date) -> Trigger:
    return Trigger(
        id=trigger_id(
            product=PRODUCT, customer_id=f"c-{n}", rule=RULE, type=STOPPED, day=str(today), episode=""
        ),
        type=STOPPED,
        timestamp=f"{today}T05:00:00Z",
        data=TriggerData(
            product=PRODUCT,
            rule=RULE,
            day=today,
            decided_at=f"{today}T05:15:00Z",
            cutoff_at=f"{today}T05:00:00Z",
            surprise=0.5 + (n * 7919 % 500) / 1_000,
            streak=StreakFacts(
                length=40,
                calendar_days=41,
                started_on=today - timedelta(days=41),
                last_active_on=today - timedelta(days=1),
            ),
            customer=CustomerFacts(
                id=f"c-{n}",
                name=f"割烹 さくら {n}号店",
                time_zone="Asia/Tokyo",
                csm=f"csm-{n % CSM_COUNT}",
                phone="+81-3-0000-0001",
                contact_window=_window(n % WINDOW_COUNT),
            ),
        ),
    )


def _window(n: int) -> str:
    return f"{n % 20:02}:{30 * (n // 20):02}-{n % 20 + 3:02}:00"


if __name__ == "__main__":
    conclude(main())
