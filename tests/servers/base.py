"""What every server of the tests can do: start, stop, die, freeze, thaw and start again where it was."""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ctypes import CDLL
from pathlib import Path
from typing import IO, Protocol

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
_LOOK_EVERY_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_ANY = random.SystemRandom()  # two test processes must not draw the same


class Missing(Exception):
    """Neither given nor to be had here; the message says what was missing."""


class Server(Protocol):
    """A server under a test's hand. `start` after `stop` or `kill` goes on with what was on the disk."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """As an operator stops it."""
        ...

    def kill(self) -> None:
        """SIGKILL: nothing is written, nobody is told."""
        ...

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        ...

    def thaw(self) -> None: ...

    def close(self) -> None:
        """Stop it and remove what it left."""
        ...


def free_port() -> int:
    """A port of the loopback that nobody has now, and that no outgoing connection is given before a
    server that takes seconds to start listens on it: those have the numbers from 32,768 on."""
    for _ in range(100):
        port = _ANY.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free between 15,000 and 32,000")


class LocalProcess:
    """One child process; ended by its id, and by the kernel should the tests themselves be killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        directory: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._output = output
        self._directory = directory
        self._stop_signal = stop_signal
        self._user = user
        self._environment = dict(environment) if environment is not None else None
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[bytes], bool]) -> None:
        """Start it and wait until `is_ready`, given what it has printed since; raises RuntimeError."""
        printed_before = self._output.stat().st_size if self._output.exists() else 0
        with self._output.open("ab") as output:
            self._child = self._spawn(output)
        for _ in range(int(START_SECONDS_MAX / _LOOK_EVERY_SECONDS)):
            if self._ended_within(_LOOK_EVERY_SECONDS):
                break
            if is_ready(self._output.read_bytes()[printed_before:]):
                return
        self.kill()
        said = self._output.read_bytes()[printed_before:].decode(errors="replace")[-2000:]
        raise RuntimeError(f"{self._command[0]} did not start:\n{said}")

    def run(self) -> None:
        """Run it to its end; raises RuntimeError with what it said when it failed."""
        with self._output.open("ab") as output:
            self._child = self._spawn(output)
        if not self._ended_within(START_SECONDS_MAX) or self._child.returncode:
            self.kill()
            raise RuntimeError(f"{self._command[0]} failed:\n{self._output.read_text()[-2000:]}")
        self._child = None

    def stop(self) -> None:
        if self._child is None:
            return
        self.signal(signal.SIGCONT)  # a frozen process would not see the request to stop
        self.signal(self._stop_signal)
        if not self._ended_within(STOP_SECONDS_MAX):
            self.kill()
        self._child = None

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    @property
    def process_id(self) -> int:
        if self._child is None:
            raise RuntimeError("it does not run")
        return self._child.pid

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            env=self._environment,
            preexec_fn=self._prepare,
            start_new_session=True,
        )

    def _ended_within(self, seconds: float) -> bool:
        assert self._child is not None
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _prepare(self) -> None:
        """In the child, before it becomes the server."""
        if self._user is not None:
            user_id, group_id = self._user
            os.setgroups([])
            os.setgid(group_id)
            os.setuid(user_id)
        # After the change of user, which would clear it again.
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
