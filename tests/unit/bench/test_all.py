"""All benches in a row: one that fails, or never ends, is told and does not keep the others."""

import os
import sys
from pathlib import Path

import pytest

from bench.__main__ import is_run_well, names


def test_every_bench_of_speed_is_run_and_nothing_else():
    found = names()
    assert {"evaluator", "peers", "growth", "islands"} <= set(found)
    assert not {"__main__", "page", "calls", "discover", "result"} & set(found)


def test_a_bench_that_ends_well_is_told_from_one_that_fails():
    assert is_run_well([sys.executable, "-c", ""])
    assert not is_run_well([sys.executable, "-c", "raise SystemExit(1)"])


def test_a_bench_that_never_ends_is_ended(tmp_path: Path):
    noted = tmp_path / "pid"
    program = f"import os, signal; open({str(noted)!r}, 'w').write(str(os.getpid())); signal.pause()"
    assert not is_run_well([sys.executable, "-c", program], seconds_max=1.0)
    if noted.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(noted.read_text()), 0)
