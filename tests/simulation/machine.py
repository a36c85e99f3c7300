"""A simulated machine: a clock of its own, tasks that die with it, awaits at which faults strike."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

LONG_WAIT_SHARE = 0.01

Note = Callable[[str, str], None]
"""Writes a line of the trace: who, and what."""


class Dead(asyncio.CancelledError):
    """Whatever still runs on a machine that was killed ends here."""


class Machine:
    """One process. Every exchange with the world goes through `io`, where it may wait, freeze or die."""

    def __init__(self, name: str, *, random: Random, true_us: Callable[[], int], note: Note) -> None:
        self.name = name
        self.skew_us = 0
        self.is_dead = False
        self.frozen_until = 0.0
        self.on_death: list[Callable[[], None]] = []
        self.on_freeze: list[Callable[[float], None]] = []
        self._random = random
        self._true_us = true_us
        self._note = note
        self._fuse: tuple[int, str, Callable[[], None]] | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._bells: dict[str, asyncio.Event] = {}

    def now_us(self) -> int:
        """What this machine's clock shows; makes it a shared.clock.Clock."""
        return self._true_us() + self.skew_us

    @property
    def is_frozen(self) -> bool:
        return self.frozen_until > asyncio.get_running_loop().time()

    # Exchanges with the world

    async def io(self, what: str) -> None:
        """One exchange with the world: takes a moment, and is where faults strike."""
        if self.is_dead:
            raise Dead
        self._note(self.name, what)
        if self._fuse is not None and (not self._fuse[1] or what.startswith(self._fuse[1])):
            self._burn(*self._fuse)
        await asyncio.sleep(self._moment())
        loop = asyncio.get_running_loop()
        while self.frozen_until > loop.time():  # noqa: ASYNC110 (it may be frozen again meanwhile)
            await asyncio.sleep(self.frozen_until - loop.time())
        if self.is_dead:
            raise Dead

    def _moment(self) -> float:
        draw = self._random.random()
        if draw < LONG_WAIT_SHARE:
            return self._random.random() * 4
        return draw * draw * 0.04

    # Faults

    def after(self, io_count: int, strike: Callable[[], None], *, at: str = "") -> None:
        """`strike` at the io_count-th exchange from now, of those whose name begins with `at`."""
        self._fuse = (io_count, at, strike)

    def _burn(self, left: int, at: str, strike: Callable[[], None]) -> None:
        self._fuse = (left - 1, at, strike) if left > 1 else None
        if left <= 1:
            strike()

    def kill(self) -> None:
        """As by SIGKILL: what is in memory is gone, and nothing is said to anybody."""
        if self.is_dead:
            return
        self._note(self.name, "killed")
        self.is_dead = True
        for tell in self.on_death:
            tell()
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            loop.call_soon(task.cancel)

    def freeze(self, seconds: float) -> None:
        """As by SIGSTOP, and SIGCONT after so long: it goes on with what it knew."""
        if self.is_dead or self.is_frozen:
            return
        self._note(self.name, f"frozen for {seconds:.0f} s")
        self.frozen_until = asyncio.get_running_loop().time() + seconds
        for tell in self.on_freeze:
            tell(self.frozen_until)

    # Tasks

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this machine, which ends with it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks = [kept for kept in self._tasks if not kept.done()]
        self._tasks.append(task)
        return task

    async def buried(self) -> None:
        """Returns when every task of a killed machine has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def bell(self, worker: str) -> asyncio.Event:
        """What a worker of this machine waits for."""
        return self._bells.setdefault(worker, asyncio.Event())

    def ring(self, worker: str) -> None:
        if not self.is_dead:
            self.bell(worker).set()
