"""Starts `usage-triggers` as a stranger would, reads what it says, and ends it by its own id."""

import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

COMMAND = [sys.executable, "-m", "services.cli"]
START_SECONDS_MAX = 60
POLLS_MAX = 3_000


class Running:
    """A process of ours; `said` is what it has printed so far."""

    def __init__(self, *arguments: str, directory: Path) -> None:
        self.said = ""
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=directory,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def resident_bytes(self) -> int:
        """The memory that the process has now."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def until(self, pattern: str) -> re.Match[str]:
        """Reads on until `pattern` was said. Fails with everything said when the process ends before."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (match := re.search(pattern, self.said)) is None:
                assert selector.select(START_SECONDS_MAX), f"nothing more after: {self.said}"
                chunk = os.read(self._process.stdout.fileno(), 65_536)
                assert chunk, f"ended after: {self.said}\n{self._errors()}"
                self.said += chunk.decode()
        return match

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and gives the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.communicate(timeout=START_SECONDS_MAX)
        return self._process.returncode

    def _errors(self) -> str:
        return self._process.communicate(timeout=START_SECONDS_MAX)[1].decode()


class Serving(Running):
    """`usage-triggers serve` on a free port, ready to be asked."""

    def __init__(self, directory: Path, *arguments: str, data: str = "data") -> None:
        super().__init__("serve", "--port", "0", "--data", data, *arguments, directory=directory)
        self.url = self.until(r"runs on (http://\S+)")[1]

    def first_key(self) -> str:
        return self.until(r"(ut_[0-9a-f]{8}_[\w-]{43})")[1]

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextmanager
def serving(directory: Path, *arguments: str, data: str = "data") -> Iterator[Serving]:
    """A running service that is stopped at the end, whatever happens."""
    service = Serving(directory, *arguments, data=data)
    try:
        yield service
    finally:
        service.stop()


def run(*arguments: str, directory: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=clean_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """The environment without anything that this project reads."""
    ours = ("USAGE_TRIGGERS", "KAFKA_", "DATABASE_URL", "HOST", "PORT", "LOG_LEVEL", "PUBLIC_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def polled(
    question: Callable[[], httpx.Response], is_answer: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Asks again and again until the answer is there; the service needs a moment to fold what it took."""
    for _ in range(POLLS_MAX):
        answer = question()
        if is_answer(answer):
            return answer
    raise AssertionError(f"still not there: {answer.text[:500]}")


def assert_one_line(result: subprocess.CompletedProcess[str], *, status: int, said: str) -> None:
    """The command ended with `status` and one line on standard error that says `said`."""
    assert result.returncode == status, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
