"""Active days a second through the pure core on one core, and the whole backtest command, on 401 restaurants.

    python -m bench.backtest [--runs 5]

The histories are read from the folder named by USAGE_TRIGGERS_DATA, or from ../shared/data; where there
are none, as many customers and days are drawn from a seed.
"""

import argparse
import contextlib
import csv
import gzip
import io
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from bench.data import DATA
from bench.record import conclude, result
from bench.result import Figure, Result, compare, rate
from services.commands.histories import History, read_history
from services.commands.tables import Rejections
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.replay import replay_customer
from shared.config import DEFAULT_PRODUCT, default_config
from shared.events import Profile

CUSTOMER_COUNT, DAY_COUNT = 401, 478


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        events, customers, name = usage_file(Path(directory))
        product = compile_product(DEFAULT_PRODUCT, default_config().products[DEFAULT_PRODUCT])
        with contextlib.redirect_stderr(io.StringIO()):
            history = read_history(str(events), customers, product, Rejections(print))
        bare = [_seconds(lambda: _bare_loop(history)) for _ in range(runs)]
        seconds = [_seconds(lambda: _core(history, product)) for _ in range(runs)]
        whole = [_seconds(lambda: _command(events, customers)) for _ in range(runs)]
    core = rate("active days through the core", "days", history.use_count, seconds)
    least = rate("each day into a set", "days", history.use_count, bare)
    return result(
        "backtest",
        __doc__,
        load=f"{name}: {len(history.uses)} customers, {history.use_count:,} active days, {runs} rounds",
        figures=[core, least, Figure(name="the whole command", unit="s", values=tuple(whole))],
        comparisons=[compare(core, least)],
    )


def usage_file(directory: Path) -> tuple[Path, str | None, str]:
    events = DATA / "restaurant_days.csv.gz"
    if events.exists():
        return events, str(DATA / "restaurants.csv"), "real restaurants"
    return _drawn(directory / "drawn.csv.gz"), None, "drawn customers"


def _drawn(path: Path) -> Path:
    chance, first = random.Random(1), date(2016, 1, 1)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("customer_id", "date"))
        for customer in range(CUSTOMER_COUNT):
            closed, miss = chance.randrange(7), chance.uniform(0.0, 0.08)
            for day in (first + timedelta(days=n) for n in range(DAY_COUNT)):
                if day.weekday() != closed and chance.random() > miss:
                    rows.writerow((f"c-{customer}", day.isoformat()))
    return path


def _core(history: History, product: Product) -> None:
    last_on = max(day for uses in history.uses.values() for days in uses.days.values() for day in days)
    for customer_id, uses in history.uses.items():
        profile = history.profiles.get(customer_id, Profile())
        replay_customer(customer_id, profile, uses, product=product, last_on=last_on)


def _bare_loop(history: History) -> None:
    """The least that anybody could do: put each day into a set."""
    for uses in history.uses.values():
        seen = set()
        for days in uses.days.values():
            for day in days:
                seen.add(day)


def _command(events: Path, customers: str | None) -> None:
    arguments = [] if customers is None else ["--customers", customers]
    command = [sys.executable, "-m", "services.cli", "backtest", str(events), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    conclude(main())
