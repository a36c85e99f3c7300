"""The simulation can fail: services with one thing wrong, each of which a few seeds must find.

A mutant is a copy of the tree with one text replaced. A text that is no longer there fails its test, so that
the list follows the code.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("services", "shared", "tests/oracle", "tests/property", "tests/simulation")
SECONDS_MAX = 50


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`file` with `text` replaced by `by`; one of `seeds` seeds from `start` on must fail, and say `says`."""

    name: str
    file: str
    text: str
    by: str
    says: str
    start: int = 0
    seeds: int = 40


MUTANTS = (
    Mutant(
        name="the evaluator's compare-and-set compares nothing",
        file="services/evaluator/store.py",
        text=", positions.c.next_offset == batch.expected_offset)",
        by=")",
        says="went back",
    ),
    Mutant(
        name="the row count of the compare-and-set is not looked at",
        file="services/evaluator/store.py",
        text="if moved.rowcount != 1:",
        by="if moved.rowcount > 1:",
        says="fenced off",
    ),
    Mutant(
        name="the wall clock says when a day is over",
        file="services/evaluator/owned.py",
        text="            decided = fold_records(memory, records)\n",
        by="            memory.watermark_us = max(memory.watermark_us, self._clock.now_us())\n"
        "            decided = fold_records(memory, records)\n",
        says="outbox",
    ),
    Mutant(
        name="a tick is believed whatever the log's clock says",
        file="services/evaluator/core/watermark.py",
        text="min(tick_at_us, appended_us)",
        by="tick_at_us",
        says="outbox",
    ),
    Mutant(
        name="a trigger's id is drawn at random",
        file="shared/triggers.py",
        text="found = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16].hex()",
        by="import uuid\n    found = uuid.uuid4().hex",
        says="outbox",
    ),
    Mutant(
        name="the relay marks before it sends",
        file="services/evaluator/relay.py",
        text='        failpoints.hit("relay.read")\n',
        by="        await self._store.mark_sent([row.seq for row in rows], now_us=self._clock.now_us())\n",
        says="topic: missing",
    ),
    Mutant(
        name="nobody is swept",
        file="services/evaluator/owned.py",
        text="            await self._sweep(memory)\n",
        by="            memory.swept(None)\n",
        says="outbox: missing",
    ),
    Mutant(
        name="an unknown answer to COMMIT is taken for yes",
        file="services/evaluator/owned.py",
        text="reason=self.trouble)\n            self.doubt()\n",
        by="reason=self.trouble)\n",
        says="no rest",
        start=1,
    ),
    Mutant(
        name="the notifier's compare-and-set is not looked at",
        file="services/notifier/store/places.py",
        text="if moved.rowcount == 1:",
        by="if moved.rowcount <= 1:",
        says="fenced off",
        start=35,
        seeds=80,
    ),
    Mutant(
        name="a delivery claimed by a sender that dies is nobody's",
        file="services/notifier/delivery/outgoing.py",
        text="next_attempt_us=now_us + lease_us,",
        by="next_attempt_us=None,",
        says="has ended as pending",
    ),
    Mutant(
        name="ingest answers before the log has acknowledged",
        file="services/ingest/intake.py",
        text="            await self._parts.log.append(TOPIC_EVENTS, messages)\n",
        by="            import asyncio\n\n"
        "            self._hope = asyncio.ensure_future(self._parts.log.append(TOPIC_EVENTS, messages))\n",
        says="acknowledged",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as the mutants live in it; what Python has compiled of it is kept between them."""
    root = tmp_path_factory.mktemp("mutants")
    for part in COPIED:
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/histories.py", root / "tests")
    return root


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_service_with_one_thing_wrong_is_found_out(mutant: Mutant, copy: Path) -> None:
    path = copy / mutant.file
    whole = path.read_text()
    assert whole.count(mutant.text) == 1, f"{mutant.file} has changed: where is {mutant.text!r}?"
    _write(path, whole.replace(mutant.text, mutant.by))
    try:
        done = _simulate(copy, mutant)
    finally:
        _write(path, whole)
    assert done.returncode == 1, f"{mutant.seeds} seeds do not find it\n{done.stdout}\n{done.stderr}"
    assert mutant.says in done.stdout, done.stdout


def _write(path: Path, text: str) -> None:
    """Each text has a time of its own: by that Python knows whether what it has compiled is still good."""
    newer = path.stat().st_mtime + 10
    path.write_text(text)
    os.utime(path, (newer, newer))


def _simulate(copy: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    seeds = ["--start", str(mutant.start), "--seeds", str(mutant.seeds), "--failures-max", "1"]
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *seeds],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
