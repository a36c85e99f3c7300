"""Runs some of the services on what the environment names, until told to stop."""

import os
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager

from services.bootstrap import Foundations, Service, assemble, check_entrance
from services.connections import make_room_for_connections
from services.foundations import foundations, is_distributed
from services.process_memory import settle_memory
from services.serving import bind, serve, url_of
from shared import tracing
from shared.clock import SystemClock
from shared.config import Config
from shared.settings import Settings

Greet = Callable[[Foundations, str], Awaitable[None]]


async def run_services(
    config: Config, settings: Settings, services: Collection[Service], *, greet: Greet
) -> None:
    """Opens the foundations, wires `services` on them and serves; `greet(base, url)` when it answers.

    Raises SetupError when port or directory cannot be had, or when the inbox would be open to everybody,
    PermanentError when a worker has died, ConfigError for traces that cannot be made.
    """
    make_room_for_connections()
    listener: socket.socket = bind(settings.host, settings.port)
    with listener, _traced(settings, services):
        async with foundations(config, settings, SystemClock()) as base:
            if "notifier" in services:
                await check_entrance(base)
            assembly = assemble(base, services)
            settle_memory()
            await serve(assembly, listener, on_ready=lambda: greet(base, url_of(listener)))


def _traced(settings: Settings, services: Collection[Service]) -> AbstractContextManager[None]:
    alone = f"-{next(iter(services))}" if len(services) == 1 else ""
    messaging = "kafka" if is_distributed(settings) else "usage-triggers"
    return tracing.opened(os.environ, f"usage-triggers{alone}", messaging=messaging)
