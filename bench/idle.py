"""Memory of the whole service over a day on which nobody uses it: it should stay flat.

    python -m bench.idle [--hours 24] [--customers 1000]

All three services as `serve` wires them, every worker in its own loop: reading, ticks, sweeps, the relay, the
sender, the timekeeper, pruning, retention. Customers used them until the day before, so that all of them stop
within the day, and the outage guard holds their calls. A probe and a scrape come every minute. What is not
as in `serve`: the simulation's event loop, whose time jumps to the next timer, and its connections, which run
SQLite without a thread (`tests/simulation`). A day is 86,400 looks of most workers, and takes some minutes.

After the first hour and at the end the resident memory is read, and how many objects the garbage collector
knows: a small leak would hide in the memory, and one object a look is half as many again.
"""

import argparse
import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import psutil
from starlette.types import ASGIApp

from bench.asgi import Posted, get, post
from bench.record import conclude, result
from bench.result import Curve, Figure, Result, Target, compare
from services.bootstrap import Assembly, assemble
from services.foundations import on_one_database
from shared.clock import rfc3339, to_us
from shared.config import DEFAULT_PRODUCT, default_config
from shared.settings import Settings
from tests.simulation.disk import Disk
from tests.simulation.loop import VirtualLoop
from tests.simulation.machine import Machine

STARTED_AT = datetime(2026, 3, 2, 20, tzinfo=UTC)
DAYS_OF_USE = 21  # long enough for every weekday to be expected
DAY_US = 86_400_000_000
POSTED_AT_ONCE = 300
PROBE_EVERY_SECONDS = 60.0
HOUR_SECONDS = 3600.0
PROBED = ("/healthz", "/readyz", "/metrics")
TURNS_MAX = 1 << 62
MEBIBYTE = 1 << 20
FLAT = Target(at_most=1.1)


class Undisturbed(Machine):
    """A machine of the simulation whose database answers at once."""

    async def io(self, what: str) -> None:
        return


class Held(msgspec.Struct, frozen=True):
    """What the process holds after so many hours without use, and what it has told of by then."""

    hours: float
    resident_mib: float
    object_count: int
    trigger_count: int


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--customers", type=int, default=1_000)
    given = parser.parse_args()
    if given.hours < 2:
        parser.error("--hours is 2 at least: the last is compared with the first")
    loop = VirtualLoop(turns_max=TURNS_MAX)
    asyncio.set_event_loop(loop)
    with TemporaryDirectory() as directory:
        held = loop.run_until_complete(_idle(loop, Path(directory), given.hours, given.customers))
    return _result(held, given.customers)


async def _idle(loop: VirtualLoop, directory: Path, hours: int, customer_count: int) -> list[Held]:
    """What is held after each hour."""
    started_us = to_us(STARTED_AT)
    machine = Undisturbed(
        "the only one",
        random=Random(1),
        true_us=lambda: started_us + round(loop.time() * 1_000_000),
        note=lambda who, what: None,
    )
    disk = Disk(directory, Random(2))
    async with _service(disk, machine) as (assembly, key):
        await _use(assembly.app, key, machine.now_us(), customer_count)
        probing = asyncio.create_task(_probe(assembly.app))
        held = []
        for hour in range(1, hours + 1):
            await asyncio.sleep(HOUR_SECONDS)
            held.append(_held(hour, disk))
            assert assembly.supervisor.failure is None, assembly.supervisor.failure
            assert not probing.done(), probing
        probing.cancel()
    return held


@asynccontextmanager
async def _service(disk: Disk, machine: Machine) -> AsyncIterator[tuple[Assembly, str]]:
    """The embedded service with its workers running, and a key for it."""
    base = on_one_database(default_config(), Settings(), machine, disk.database(machine))
    assembly = assemble(base)
    try:
        assembly.supervisor.start()
        yield assembly, await base.keys.create(DEFAULT_PRODUCT)
    finally:
        await assembly.close()
        await base.log.close()
        disk.close()


async def _use(app: ASGIApp, key: str, now_us: int, customer_count: int) -> None:
    """Every customer's use of the days before this one."""
    events = [
        {
            "event_id": f"{number}/{day}",
            "customer_id": f"c-{number}",
            "occurred_at": rfc3339(now_us - day * DAY_US),
        }
        for day in range(DAYS_OF_USE, 0, -1)
        for number in range(customer_count)
    ]
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for begin in range(0, len(events), POSTED_AT_ONCE):
        some = events[begin : begin + POSTED_AT_ONCE]
        body = msgspec.json.encode(some)
        posted = Posted(name="use", path="/v1/events", body=body, event_count=len(some), headers=headers)
        assert await post(app, posted) == 202


async def _probe(app: ASGIApp) -> None:
    while True:
        for path in PROBED:
            status = await get(app, path)
            assert status == 200, f"{path} answers {status}"
        await asyncio.sleep(PROBE_EVERY_SECONDS)


def _held(hours: float, disk: Disk) -> Held:
    gc.collect()
    [(trigger_count,)] = disk.look("SELECT count(*) FROM outbox")
    resident_mib = psutil.Process().memory_info().rss / MEBIBYTE
    held = Held(hours, resident_mib, len(gc.get_objects()), trigger_count)
    print(
        f"{hours:>4} h: {resident_mib:.1f} MiB, {held.object_count:,} objects, {trigger_count:,} triggers",
        flush=True,
    )
    return held


def _result(held: list[Held], customer_count: int) -> Result:
    first, last = held[0], held[-1]
    resident = [_resident(one) for one in (last, first)]
    objects = [_objects(one) for one in (last, first)]
    points = tuple((one.hours, one.resident_mib) for one in held)
    return result(
        "idle",
        __doc__,
        load=f"{customer_count:,} customers, {last.trigger_count:,} triggers told, {len(held)} hours",
        figures=[*reversed(resident), *reversed(objects)],
        comparisons=[compare(*resident, FLAT), compare(*objects, FLAT)],
        curves=[Curve(name="resident memory", across="hours without use", unit="MiB", points=points)],
        parts=["fastapi", "sqlalchemy"],
    )


def _resident(held: Held) -> Figure:
    return Figure(name=f"resident after {held.hours:g} h", unit="MiB", values=(held.resident_mib,))


def _objects(held: Held) -> Figure:
    return Figure(name=f"objects after {held.hours:g} h", unit="objects", values=(float(held.object_count),))


if __name__ == "__main__":
    conclude(main())
