"""Runs an assembled application on a port until it is told to stop, or one of its workers dies."""

import asyncio
import errno
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn

from services.bootstrap import Assembly
from services.connections import BoundedHeads
from shared.errors import PermanentError, SetupError

BACKLOG_MAX = 2048
GRACEFUL_SECONDS = 10


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises SetupError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: only of such a socket's connections does asyncio turn Nagle's algorithm off,
    # which would keep the end of an answer back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"port {port} on {host} is taken; stop what listens there, or choose another with --port"
            )
            raise SetupError(message) from error
        raise SetupError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


async def serve(
    assembly: Assembly,
    listener: socket.socket,
    *,
    on_ready: Callable[[], Awaitable[None]] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or `stop`; what was accepted by then is finished first.

    `on_ready` is called once, when requests are answered. Raises PermanentError when a worker has died.
    """
    server = _Server(_uvicorn_config(assembly), on_ready, assembly.hang_up)
    assembly.supervisor.start()
    # A process without one of its workers is worse than none: whoever runs it can start another.
    reasons = [assembly.supervisor.failed, *([stop] if stop is not None else [])]
    watches = [asyncio.create_task(_end_on(reason, server)) for reason in reasons]
    try:
        await server.serve(sockets=[listener])
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await assembly.close()
    if assembly.supervisor.failure is not None:
        raise PermanentError(assembly.supervisor.failure, code="worker_died")


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and for which being told to stop is no failure."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], Awaitable[None]] | None,
        hang_up: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._hang_up = hang_up

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hang_up()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_ready is not None and not self.should_exit:
            await self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, and a clean stop would look like a kill.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _uvicorn_config(assembly: Assembly) -> uvicorn.Config:
    return uvicorn.Config(
        assembly.app,
        http=BoundedHeads,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        timeout_keep_alive=75,
    )


async def _end_on(reason: asyncio.Event, server: uvicorn.Server) -> None:
    await reason.wait()
    server.should_exit = True
