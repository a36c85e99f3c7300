"""Small wrongs, each put into a copy of the core, and whether oracle and properties notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOUND, NOT_FOUND = 3, 4


class Mutant(NamedTuple):
    """`wrong` in the place of `right`, once, in a module of the core."""

    name: str
    module: str
    right: str
    wrong: str


def copy_of_the_core(to: Path) -> Path:
    """The evaluator and what it imports, under `to`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "services" / "evaluator", to / "services" / "evaluator", ignore=ignored)
    shutil.copytree(ROOT / "shared", to / "shared", ignore=ignored)
    shutil.copy(ROOT / "services" / "__init__.py", to / "services" / "__init__.py")
    return to


def probe(core: Path, histories: str) -> int:
    """Looks at those histories with the core under `core`, in a process of its own."""
    start = (
        f"import sys; sys.path[:0] = [{str(core)!r}, {str(ROOT)!r}]\n"
        f"from tests.property.probe import main; main({histories!r})"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "UT_HISTORIES": "0"}
    run = subprocess.run(
        [sys.executable, "-c", start], cwd=core, env=environment, capture_output=True, text=True, timeout=120
    )
    assert f"core: {core}" in run.stdout, run.stdout + run.stderr
    if run.returncode not in (FOUND, NOT_FOUND):
        assert "services/evaluator" in run.stderr, run.stderr  # the core itself stumbled: that is found, too
        return FOUND
    return run.returncode


def is_found(mutant: Mutant, at: Path, histories: str) -> bool:
    """Whether a copy of the core with this wrong in it tells something else than the oracle."""
    core = copy_of_the_core(at)
    module = core / "services" / "evaluator" / f"{mutant.module}.py"
    source = module.read_text()
    assert source.count(mutant.right) == 1, f"{module.name} has changed: write this mutant anew"
    module.write_text(source.replace(mutant.right, mutant.wrong))
    return probe(core, histories) == FOUND
