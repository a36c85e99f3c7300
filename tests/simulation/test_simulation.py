"""The whole pipeline under drawn failures: every seed ends as the oracle says, and is one run, to the letter.

`SIMULATION_SEEDS` says how many (60), `SIMULATION_START` from which on (0); `make simulate` runs more.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.simulation.__main__ import first_seed
from tests.simulation.campaign import run, told
from tests.simulation.loop import NoRest, VirtualLoop

START = first_seed(os.environ.get("SIMULATION_START", "0"))
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "60"))
PER_TEST = 10
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("start", range(START, START + SEEDS, PER_TEST))
def test_whatever_goes_wrong_the_pipeline_ends_as_the_oracle_says(start: int) -> None:
    verdicts = [run(seed) for seed in range(start, min(start + PER_TEST, START + SEEDS))]
    failed = [told(verdict) for verdict in verdicts if verdict.problems]
    assert not failed, "\n".join(failed)
    assert sum(verdict.trigger_count for verdict in verdicts) > 0
    assert sum(verdict.machine_count for verdict in verdicts) > 3 * len(verdicts)  # some were replaced


def test_a_seed_is_the_same_run_in_every_process() -> None:
    traces = {_trace_elsewhere(hash_seed) for hash_seed in ("0", "1")} | {run(5).trace}
    assert len(traces) == 1, traces
    assert run(6).trace not in traces


def _trace_elsewhere(hash_seed: str) -> str:
    """The digest of seed 5 in a process that orders its sets another way."""
    code = "from tests.simulation.campaign import run; print(run(5).trace)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_trace_tells_every_step_and_its_instant() -> None:
    lines: list[str] = []
    verdict = run(3, tell=lines.append)
    assert verdict.trace == run(3).trace  # being listened to changes nothing
    assert any("evaluator" in line and line.endswith("committed") for line in lines)
    instants = [datetime.fromisoformat(line.split()[0]) for line in lines]
    assert instants == sorted(instants)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(turns_max=1000)
    yield loop
    loop.close()


def test_a_month_of_waiting_passes_at_once_and_in_order(loop: VirtualLoop) -> None:
    heard: list[tuple[float, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        heard.append((round(loop.time()), name))

    async def all_of_them() -> None:
        await asyncio.gather(sleeper("month", 2_592_000), sleeper("second", 1), sleeper("day", 86_400))

    loop.run_until_complete(all_of_them())
    assert heard == [(1, "second"), (86_400, "day"), (2_592_000, "month")]


def test_a_run_in_which_everybody_waits_for_ever_ends(loop: VirtualLoop) -> None:
    waiting = asyncio.Event()
    with pytest.raises(NoRest, match="never comes"):
        loop.run_until_complete(waiting.wait())
    waiting.set()
    loop.run_until_complete(asyncio.sleep(0))


def test_a_run_that_never_rests_ends(loop: VirtualLoop) -> None:
    async def restless() -> None:
        while loop.is_running():  # noqa: ASYNC110 (that it never ends is the point)
            await asyncio.sleep(1)

    task = loop.create_task(restless())
    with pytest.raises(NoRest, match="still busy"):
        loop.run_until_complete(task)
    task.cancel()


@pytest.mark.parametrize(("text", "seed"), [("7", 7), ("2df40bd8d3a0", int("2df40bd8d3a0", 16) % 2**31)])
def test_the_first_seed_is_a_number_or_a_commits_hash(text: str, seed: int) -> None:
    assert first_seed(text) == seed
