"""The job that every peer does: the days and the streak of each customer, and a stop where a day was missed.

A peer is told of a missed day by the customer's return alone: most of them have no way of noticing that
nothing came. That spares them what ours does besides.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DAY_US = 86_400_000_000
EVENT = "event"
"""The kind of record that is a use; the topic has ticks as well, which peers pass over."""


class State(NamedTuple):
    """Of one customer: its last active day, the days in a row up to it, all its active days."""

    last: int
    streak: int
    active: int


def day_of(occurred_us: int) -> int:
    return occurred_us // DAY_US


def fold(state: State | None, day: int) -> tuple[State, int | None]:
    """The state after a use, and the first day missed before it, if any was."""
    if state is None:
        return State(day, 1, 1), None
    if day <= state.last:
        return state, None
    if day == state.last + 1:
        return State(day, state.streak + 1, state.active + 1), None
    return State(day, 1, state.active + 1), state.last + 1


class Asked(NamedTuple):
    """What the bench asks of a program, in the order of its arguments."""

    kafka: str
    topic: str
    stops_topic: str
    event_count: int
    postgres: str
    directory: Path


def asked(arguments: Sequence[str] = sys.argv[1:]) -> Asked:
    kafka, topic, stops_topic, event_count, postgres, directory = arguments
    return Asked(kafka, topic, stops_topic, int(event_count), postgres, Path(directory))


class Meter:
    """Counts uses, and the seconds from the first to the last: start and end of the program are spared."""

    def __init__(self, event_count: int) -> None:
        self._left = event_count
        self._begun = 0.0
        self.seconds = 0.0

    def count(self) -> bool:
        """One use more has been folded; True if it was the last."""
        if not self._begun:
            self._begun = time.perf_counter()
        self._left -= 1
        if self._left == 0:
            self.seconds = time.perf_counter() - self._begun
        return self._left == 0


def report(
    wanted: Asked, seconds: float, states: dict[str, State], stops: list[tuple[str, int]], **versions: str
) -> None:
    """What came of it, for the bench to compare."""
    found = {"seconds": seconds, "states": states, "stops": stops, "versions": versions}
    (wanted.directory / "outcome.json").write_text(json.dumps(found))
