"""Servers in containers, where a Docker engine answers."""

import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from tests.servers.base import Missing

_PING_SECONDS = 3


def require_docker() -> None:
    """Raises Missing where no engine answers, or there is nothing to start containers with."""
    if find_spec("testcontainers") is None:
        raise Missing("the Python package testcontainers is not installed")
    command = shutil.which("docker")
    try:
        # The command rather than the Python client, which leaks its socket where nobody listens.
        if (
            command
            and not subprocess.run(
                [command, "version"], capture_output=True, check=False, timeout=_PING_SECONDS
            ).returncode
        ):
            return
    except subprocess.TimeoutExpired as error:
        raise Missing(f"the Docker engine does not answer within {_PING_SECONDS} s") from error
    raise Missing("no Docker engine answers")


class Container:
    """One container with fixed ports, so that it can be stopped and started under the same address."""

    def __init__(
        self,
        image: str,
        *,
        ports: Mapping[int, int],
        environment: Mapping[str, str],
        ready_line: str,
        ready_count: int = 1,
    ) -> None:
        require_docker()
        from testcontainers.core.container import DockerContainer

        self._ready_line = ready_line
        self._ready_count = ready_count
        self._container = DockerContainer(image)
        for inside, outside in ports.items():
            self._container.with_bind_ports(inside, outside)
        for name, value in environment.items():
            self._container.with_env(name, value)
        self._is_created = False

    def start(self) -> None:
        if self._is_created:
            self._wrapped.start()
        else:
            self._container.start()
            self._is_created = True
        self._wait_until_ready()

    def stop(self) -> None:
        self._wrapped.stop()

    def kill(self) -> None:
        self._wrapped.kill()

    def freeze(self) -> None:
        self._wrapped.pause()

    def thaw(self) -> None:
        self._wrapped.unpause()

    def close(self) -> None:
        if self._is_created:
            self._container.stop()  # removes it too
            self._is_created = False

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def _wait_until_ready(self) -> None:
        """Follow what it prints from this start on; the engine ends the stream when the container ends."""
        self._wrapped.reload()
        started_at = self._wrapped.attrs["State"]["StartedAt"]
        seen_count = 0
        for line in self._wrapped.logs(stream=True, follow=True, timestamps=True):
            stamp, _, text = line.decode(errors="replace").partition(" ")
            seen_count += stamp >= started_at[:19] and self._ready_line in text
            if seen_count >= self._ready_count:
                return
        raise RuntimeError(f"the container of {self._container.image} ended before it was ready")
