"""Runs the workers of a process: all stop together, and one that dies is told, never forgotten."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from shared.errors import TransientError, UsageTriggersError

STOP_SECONDS_MAX = 10.0
"""What a worker may take to finish what it has begun; whatever is not written then is done again later."""

logger = structlog.get_logger(__name__)


class Worker(Protocol):
    """Does one unit of work a step, and steps until it is told to stop."""

    async def step(self) -> bool: ...

    async def run(self, stop: asyncio.Event) -> None: ...


class Supervisor:
    """Starts workers, watches them, stops them. `failure` says in one line which one died and why."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers
        self._stop = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self.failure: str | None = None
        self.failed = asyncio.Event()

    def start(self) -> None:
        """Every worker as a task of its own."""
        for name, worker in self._workers.items():
            task = asyncio.create_task(worker.run(self._stop), name=name)
            self._tasks[task] = name
            task.add_done_callback(self._on_done)

    async def check(self) -> None:
        """For readiness: raises when a worker has died."""
        if self.failure is not None:
            raise TransientError(self.failure, code="worker_died")

    async def stop(self) -> None:
        """Tells every worker to stop and waits until all have, cancelling those that do not in time."""
        self._stop.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS_MAX)
        for task in late:
            logger.warning("a worker did not stop in time and is cancelled", worker=self._tasks[task])
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS_MAX)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self._stop.is_set() or task.cancelled():
            return
        name, error = self._tasks[task], task.exception()
        if self.failure is None:
            self.failure = f"the {name} has died: {_one_line(error)}"
        is_known = error is None or isinstance(error, UsageTriggersError)
        logger.error("a worker has died", worker=name, exc_info=None if is_known else error)
        self.failed.set()


def _one_line(error: BaseException | None) -> str:
    if error is None:
        return "it returned before it was told to stop"
    if isinstance(error, UsageTriggersError):
        return error.message
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
