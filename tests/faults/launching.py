"""Starts processes of `child` quickly, and has them killed, frozen and ended by their id."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.faults import child

LOOK_EVERY_SECONDS = 0.1
READY_SECONDS_MAX = 30.0
END_SECONDS_MAX = 30.0

# A server that has imported what all of them need forks each one: a start takes a third of the time.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(child.PRELOADED))


class Ended(Exception):
    """The process has ended before it did what was waited for; says what it printed last."""


class Instance:
    """One process. `url` is where it answers, once `ready` has returned."""

    def __init__(self, environment: Mapping[str, str], directory: Path, name: str) -> None:
        self.name = name
        self.url = ""
        self._output = directory / f"{name}.log"
        self._url_file = directory / f"{name}.url"
        self._process = _context.Process(
            target=child.main, args=(dict(environment), str(self._output), str(self._url_file)), name=name
        )
        self._process.start()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that killed it."""
        return self._process.exitcode

    def said(self) -> str:
        """Everything that it has printed so far."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    async def ready(self) -> "Instance":
        """Itself, once it answers requests; raises Ended."""
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not self._url_file.exists():
                if await self.ended_within(LOOK_EVERY_SECONDS):
                    raise Ended(f"{self.name} ended with {self.exit_code}:\n{self.said()[-3000:]}")
        self.url = self._url_file.read_text()
        return self

    async def ended_within(self, seconds: float) -> bool:
        """Waits for its end, no longer than `seconds`; whether it has ended."""
        if not self.is_alive:
            return True
        loop = asyncio.get_running_loop()
        has_ended = asyncio.Event()
        # A descriptor of our own: several may wait for the end of one process.
        sentinel = os.dup(self._process.sentinel)
        loop.add_reader(sentinel, has_ended.set)
        try:
            async with asyncio.timeout(seconds):
                await has_ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(sentinel)
            os.close(sentinel)
        self._process.join()
        return True

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Its exit code after being told to stop; killed if it does not in time, which is an error."""
        self.thaw()
        self._signal(number)
        if not await self.ended_within(END_SECONDS_MAX):
            self.kill()
            raise AssertionError(f"{self.name} did not stop in {END_SECONDS_MAX:g} s:\n{self.said()[-3000:]}")
        return self.exit_code

    def kill(self) -> None:
        """SIGKILL, and reaped."""
        self._process.kill()
        self._process.join()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def is_frozen(self) -> bool:
        """Whether it has been stopped, also by a failpoint of its own."""
        try:
            status = Path(f"/proc/{self._process.pid}/stat").read_text()
        except FileNotFoundError:
            return False
        return status.rpartition(")")[2].split()[0] in ("T", "t")

    def _signal(self, number: signal.Signals) -> None:
        if self.is_alive and self._process.pid is not None:
            os.kill(self._process.pid, number)
