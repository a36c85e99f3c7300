"""How far a long command has come: a bar on a terminal, a plain line each quarter elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Told now and then how much is done, in the unit of its total."""

    def at(self, done: int) -> None: ...


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """Shows on standard error how `label` goes on, out of `total`; 0 where nobody knows how much it is."""
    if sys.stderr.isatty():
        with _bar(label, total) as bar:
            yield bar
    else:
        yield _Lines(label, total)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield _Bar(bars, bars.add_task(label, total=total or None))


class _Bar:
    def __init__(self, bars: object, task: object) -> None:
        self._bars, self._task = bars, task

    def at(self, done: int) -> None:
        self._bars.update(self._task, completed=done)  # type: ignore[attr-defined]


class _Lines:
    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._quarter = label, total, 0
        print(label, file=sys.stderr)

    def at(self, done: int) -> None:
        quarter = 4 * done // self._total if self._total else 0
        if quarter > self._quarter:
            self._quarter = quarter
            print(f"{self._label}: {25 * quarter} %", file=sys.stderr)
