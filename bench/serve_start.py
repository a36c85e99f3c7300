"""Cold start of `serve` to its first ready answer, and its memory with 100,000 customers of 400 days.

    python -m bench.serve_start [--runs 5] [--customers 100000]

Three stores: a new one (its schema is made), the same one again, and the full one. Memory is looked
at when the service is ready and idle, and again after every customer was judged once.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import psutil
from sqlalchemy import insert

from bench.record import conclude, result
from bench.result import Figure, Result
from deploy.migrations.upgrade import bring_up
from services.evaluator import engine
from services.evaluator.core.rules import compile_product
from services.evaluator.core.state import encode_state
from services.foundations import DATABASE_NAME
from shared.clock import SystemClock, from_us
from shared.config import DEFAULT_PRODUCT, default_config
from shared.database import open_sqlite
from shared.events import Event
from shared.schema import customers

DAY_COUNT = 400
ROWS_PER_INSERT = 5_000
READY_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.01
IDLE_SECONDS = 20.0


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--customers", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        new = [_start(Path(directory) / f"new-{run}")[0] for run in range(given.runs)]
        again = [_start(Path(directory) / "new-0")[0] for _ in range(given.runs)]
        full = Path(directory) / "full"
        full.mkdir()
        asyncio.run(_fill(full, given.customers))
        filled = [_start(full, idle_seconds=IDLE_SECONDS if run == 0 else 0.0) for run in range(given.runs)]
    _, ready, later = filled[0]
    with_them = f"with {given.customers:,} customers of {DAY_COUNT} days"
    return result(
        "serve_start",
        __doc__,
        load=f"to the first 200 of /readyz, {given.runs} rounds",
        figures=[
            Figure(name="cold start on a new store", unit="s", values=tuple(new)),
            Figure(name="on the same store again", unit="s", values=tuple(again)),
            Figure(name=with_them, unit="s", values=tuple(took for took, _, _ in filled)),
            Figure(name=f"resident {with_them}", unit="MB", values=(ready,)),
            Figure(name=f"the same, {IDLE_SECONDS:.0f} s later", unit="MB", values=(later,)),
        ],
        parts=["fastapi", "sqlalchemy", "uvicorn"],
    )


def _start(directory: Path, *, idle_seconds: float = 0.0) -> tuple[float, float, float]:
    """Seconds to readiness; megabytes resident then, and after `idle_seconds`."""
    started = time.perf_counter()
    with _serve(directory) as (process, url):
        _wait_ready(process, url)
        took = time.perf_counter() - started
        ready = _megabytes(process)
        time.sleep(idle_seconds)  # noqa: TID251
        return took, ready, _megabytes(process)


@contextmanager
def _serve(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = _free_port()
    command = [sys.executable, "-m", "services.cli", "serve", "--port", str(port), "--data", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "LOG_LEVEL": "ERROR"})
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=READY_SECONDS_MAX)


def _wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.perf_counter() + READY_SECONDS_MAX
    with httpx.Client(trust_env=False) as client:
        while time.perf_counter() < until and process.poll() is None:
            try:
                if client.get(f"{url}/readyz", timeout=READY_SECONDS_MAX).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet; the next look follows at once
            time.sleep(LOOK_EVERY_SECONDS)  # noqa: TID251 - a look at another process, in a bench
    raise SystemExit("serve did not become ready")


def _megabytes(process: subprocess.Popen[bytes]) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 1e6


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _fill(directory: Path, count: int) -> None:
    """Customers as 400 days of use, up to today, would have left them in the store."""
    database = open_sqlite(directory / DATABASE_NAME)
    await bring_up(database)
    value, due_us = _state()
    for start in range(0, count, ROWS_PER_INSERT):
        rows = [
            {
                "product": DEFAULT_PRODUCT,
                "customer_id": f"c-{n}",
                "partition": 0,
                "due_us": due_us,
                "state": value,
            }
            for n in range(start, min(count, start + ROWS_PER_INSERT))
        ]
        async with database.begin() as connection:
            await connection.execute(insert(customers), rows)
    await database.close()


def _state() -> tuple[bytes, int | None]:
    product = compile_product(DEFAULT_PRODUCT, default_config().products[DEFAULT_PRODUCT])
    today: date = from_us(SystemClock().now_us()).date()
    state = None
    for back in range(DAY_COUNT, -1, -1):
        day = today - timedelta(days=back)
        noon_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000_000)
        event = Event(
            product=DEFAULT_PRODUCT,
            customer_id="c",
            event_id=day.isoformat(),
            occurred_us=noon_us,
            received_us=noon_us,
        )
        state = engine.fold(state, event, product=product, appended_us=noon_us, watermark_us=noon_us).state
    assert state is not None
    return encode_state(state), state.due_us


if __name__ == "__main__":
    conclude(main())
