"""Looks for a difference between the oracle and whatever core comes first on the path, for the mutants."""

import sys
from collections.abc import Callable
from pathlib import Path

from services.evaluator import engine
from tests.histories import History, drawn
from tests.histories_of_rules import counting, edited
from tests.property.compare import first_difference

STORIES = (
    Path(__file__).parent / "test_corners.py",
    Path(__file__).parents[1] / "unit" / "evaluator" / "test_semantics_examples.py",
)


def finds_a_difference(histories: str) -> bool:
    """A few drawn histories, the stories, then some more histories; of rules: counts, declines and edits."""
    if histories == "rules":
        return _in_histories(counting, range(120)) or _in_histories(edited, range(120))
    return _in_histories(drawn, range(25)) or _in_stories() or _in_histories(drawn, range(25, 70))


def _in_histories(draw: Callable[[int], History], seeds: range) -> bool:
    return any(first_difference(h.section, h.log) is not None for h in map(draw, seeds))


def _in_stories() -> bool:
    import pytest  # takes a while, and most mutants are found without it

    stories = [str(path) for path in STORIES]
    return pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", "not oracle", *stories]) != 0


def main(histories: str) -> None:
    """Exit status 3: a difference was found; 4: none."""
    print("core:", engine.__file__, flush=True)
    sys.exit(3 if finds_a_difference(histories) else 4)
