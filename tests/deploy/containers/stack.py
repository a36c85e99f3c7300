"""The stack of deploy/compose.yaml under podman-compose: brought up, asked, broken and taken down."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.containers.images import OURS, PREFIX, ROOT, environment, podman, ran
from tests.servers.base import free_port

HERE = Path(__file__).parent
SERVICES = ("ingest", "evaluator", "notifier")
_OTHERS = ("kafka", "postgres", "haproxy")
_CHECKS_MAX = 300
_RECEIVED_SECONDS_MAX = 60

Webhook = dict[str, Any]
Enough = Callable[[Sequence[Webhook]], bool]


class Stack:
    """Containers by their service's name, one of each."""

    def __init__(self, directory: Path) -> None:
        self._project = f"usage-triggers-test-{os.getpid()}"
        self.port = free_port()
        secrets = directory / "secrets.env"
        secrets.write_text("PHONE_SECRET=whsec_c2VjcmV0LW9mLXRoZS1waG9uZS10b29s\n")
        self._environment = {
            **environment(),
            **{f"{name.upper()}_IMAGE": f"{PREFIX}/{name}:latest" for name in _OTHERS},
            "USAGE_TRIGGERS_IMAGE": OURS,
            "POSTGRES_PASSWORD": "0f" * 12,
            "KAFKA_PARTITIONS": "4",
            "PORT": str(self.port),
            "CONFIG_FILE": str(HERE / "told_at_once.yaml"),
            "SECRETS_FILE": str(secrets),
        }

    def up(self) -> None:
        """Everything, in the order that the file asks for.

        Where podman cannot wait for health by itself (it lacks systemd, or is older than 4.6), we do.
        """
        self._compose("up", "-d", "--no-deps", "kafka", "postgres", "receiver")
        self.wait_until_healthy("kafka", "postgres")
        self._compose("up", "-d", "--no-deps", "migrate")
        assert podman("wait", self._name("migrate")) == "0", self.said("migrate")
        # Without anybody who may sign in the notifier does not listen beyond its own machine.
        self._compose(
            "run", "--rm", "--no-deps", "-T", "migrate", "users", "add", "root", "--oidc", "--role", "admin"
        )
        self._compose("up", "-d", "--no-deps", *SERVICES, "proxy")
        self.wait_until_healthy(*SERVICES)

    def down(self) -> None:
        self._compose("down", "--volumes", "--timeout", "20")

    def wait_until_healthy(self, *services: str) -> None:
        """Asks each one's own health check; raises AssertionError with what it said."""
        for service in services:
            for _ in range(_CHECKS_MAX):
                if self._is_healthy(service):
                    break
            else:
                raise AssertionError(f"{service} is not healthy: {self.said(service)[-2000:]}")

    def kill(self, service: str) -> None:
        podman("kill", "--signal", "KILL", self._name(service))

    def start(self, service: str) -> None:
        podman("start", self._name(service))

    def stop(self, service: str) -> None:
        """As an operator does: SIGTERM, and the grace period of the file."""
        podman("stop", "--time", "30", self._name(service))

    def exit_status(self, service: str) -> int:
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self._name(service)))

    def run(self, service: str, *command: str) -> str:
        return podman("exec", self._name(service), *command)

    def said(self, service: str) -> str:
        """Standard output and standard error, one after the other."""
        command = ["podman", "logs", self._name(service)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def client(self, key: str = "") -> httpx.Client:
        """Asks the one address that the proxy listens on."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False)

    def received(self, is_enough: Enough) -> list[Webhook]:
        """Every webhook so far, in order, once it is enough; raises AssertionError when it stays too few."""
        webhooks: list[Webhook] = []
        with self._following("receiver") as lines:
            for line in lines:
                webhooks.append(json.loads(line))
                if is_enough(webhooks):
                    return webhooks
        raise AssertionError(f"only {len(webhooks)} webhooks; notifier: {self.said('notifier')[-2000:]}")

    @contextmanager
    def _following(self, service: str) -> Iterator[Iterator[bytes]]:
        command = ["podman", "logs", "--follow", self._name(service)]
        child = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE)
        assert child.stdout is not None
        try:
            yield _lines(child.stdout.fileno())
        finally:
            child.kill()
            child.wait()
            child.stdout.close()

    def _is_healthy(self, service: str) -> bool:
        command = ["podman", "healthcheck", "run", self._name(service)]
        return not subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode

    def _compose(self, *arguments: str) -> None:
        files = (ROOT / "deploy" / "compose.yaml", HERE / "compose.receiver.yaml")
        named = [part for file in files for part in ("-f", str(file))]
        command = [sys.executable, "-m", "podman_compose", "-p", self._project, *named, *arguments]
        ran(command, seconds=180, env=self._environment)

    def _name(self, service: str) -> str:
        return f"{self._project}_{service}_1"


def _lines(descriptor: int) -> Iterator[bytes]:
    """Lines as they come, until none has come for a while."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(_RECEIVED_SECONDS_MAX):
            chunk = os.read(descriptor, 65_536)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
