"""PostgreSQL: a cluster of its own on a free port, without a password, on the loopback alone."""

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path
from uuid import uuid4

import asyncpg

from tests.servers.base import LocalProcess, Missing, Server, free_port
from tests.servers.containers import Container
from tests.servers.given import GIVEN

POSTGRES_IMAGE = "postgres:17-alpine"
_READY = b"database system is ready to accept connections"


class PostgresServer:
    """A server at `url`; one that was given from outside cannot be stopped or frozen."""

    def __init__(self, url: str, server: Server | None = None) -> None:
        self.url = url
        self._server = server

    @property
    def is_ours(self) -> bool:
        return self._server is not None

    async def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid4().hex}"
        await self._execute(f'CREATE DATABASE "{name}"')
        return f"{self.url.rsplit('/', 1)[0]}/{name}"

    async def drop_database(self, url: str) -> None:
        """Remove what `create_database` made, whoever is still connected."""
        await self._execute(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1]}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def start(self) -> None:
        self._own.start()

    def stop(self) -> None:
        self._own.stop()

    def kill(self) -> None:
        self._own.kill()

    def freeze(self) -> None:
        self._own.freeze()

    def thaw(self) -> None:
        self._own.thaw()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def _own(self) -> Server:
        if self._server is None:
            raise Missing("the PostgreSQL of DATABASE_URL is not ours to stop")
        return self._server


class LocalPostgres:
    """PostgreSQL from installed binaries; as an unprivileged user where we are root, which it refuses."""

    def __init__(self, port: int, *, durable: bool = False) -> None:
        self._binaries = _binaries()
        self._user = _unprivileged_user()
        self.directory = Path(tempfile.mkdtemp(prefix="usage-triggers-postgres-"))
        if self._user is not None:
            os.chown(self.directory, *self._user)
        self.cluster = self.directory / "cluster"
        self._process = LocalProcess(
            [
                str(self._binaries / "postgres"),
                "-D",
                str(self.cluster),
                *_options(port, self.directory, durable),
            ],
            output=self.directory / "server.log",
            directory=self.directory,
            stop_signal=signal.SIGINT,  # "fast": disconnects clients instead of waiting for them
            user=self._user,
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )

    def start(self) -> None:
        if not self.cluster.exists():
            self._create_cluster()
        self._process.start(lambda printed: _READY in printed)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """The backends too: one that outlived its postmaster would keep the cluster from starting again."""
        children = _children(self._process.process_id)
        self._process.kill()
        for process_id in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)

    def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        self._process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _create_cluster(self) -> None:
        LocalProcess(
            [
                str(self._binaries / "initdb"),
                *("-D", str(self.cluster), "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            output=self.directory / "initdb.log",
            directory=self.directory,
            user=self._user,
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        ).run()

    def _signal_all(self, number: signal.Signals) -> None:
        """A backend that already serves a connection would go on answering for a frozen postmaster."""
        postmaster = self._process.process_id
        for process_id in (postmaster, *_children(postmaster)):
            os.kill(process_id, number)


def find_postgres(*, own: bool = False, durable: bool = False) -> PostgresServer:
    """A started PostgreSQL: given, in a container, or from installed binaries; raises Missing.

    `own`: not the one that was given, for a test that stops it. `durable`: what is committed is on the disk,
    for a bench, where that is most of what a commit costs.
    """
    given = GIVEN["DATABASE_URL"]
    if given and not own:
        return PostgresServer(given)
    port = free_port()
    found = PostgresServer(
        f"postgresql://postgres@127.0.0.1:{port}/postgres", _contained(port) or _local(port, durable)
    )
    try:
        found.start()
    except BaseException:
        found.close()
        raise
    return found


def _contained(port: int) -> Server | None:
    try:
        return Container(
            POSTGRES_IMAGE,
            ports={5432: port},
            environment={"POSTGRES_HOST_AUTH_METHOD": "trust"},
            ready_line=_READY.decode(),
            ready_count=2,  # the first is the image's own initialisation
        )
    except Missing:
        return None


def _local(port: int, durable: bool) -> Server:
    try:
        return LocalPostgres(port, durable=durable)
    except Missing as missing:
        raise Missing(
            f"no PostgreSQL: DATABASE_URL is not set, no Docker engine answers, {missing}"
        ) from missing


def _binaries() -> Path:
    """Where `initdb` and `postgres` are: on the PATH, or the newest of Debian's."""
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise Missing("no initdb and postgres on the PATH or in /usr/lib/postgresql")


def _unprivileged_user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise Missing("we are root, which PostgreSQL refuses, and there is no user postgres or nobody")


def _options(port: int, sockets: Path, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(sockets),
        "max_connections": "200",
        # Killing a process loses nothing that it gave to the kernel; only a power cut would.
        "fsync": "on" if durable else "off",
        "logging_collector": "off",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _children(process_id: int) -> list[int]:
    found = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(child) for child in found.split()]
