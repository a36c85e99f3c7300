"""Ingest without a network: requests straight into an ASGI application, on a log that only counts.

What is timed is the process's own CPU time, so that neighbours on the machine are not measured with it.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

import msgspec
from starlette.types import ASGIApp

from deploy.migrations.upgrade import bring_up
from services.bootstrap import Assembly, Foundations, assemble
from shared.auth import KeyRing
from shared.clock import SystemClock
from shared.config import Config
from shared.database import open_sqlite
from shared.log import Message
from shared.settings import Settings

PRODUCT = "bench"
WARM_UP_REQUESTS = 20


class Appending(Protocol):
    """All that ingest asks of a log."""

    async def append(self, topic: str, messages: Sequence[Message]) -> None: ...

    async def check(self) -> None: ...


class CountingLog:
    """Takes everything at once; what is left of a request's time is the route's own."""

    def __init__(self) -> None:
        self.record_count = 0
        self.last: Sequence[Message] = ()

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        self.record_count += len(messages)
        self.last = messages

    async def check(self) -> None:
        """Always there."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be sent over and over: how many events it holds, and what it is called in the table."""

    name: str
    path: str
    body: bytes
    event_count: int
    headers: Mapping[str, str] = {}


@asynccontextmanager
async def ingest(log: CountingLog) -> AsyncIterator[tuple[ASGIApp, str]]:
    """Ingest's application on `log`, and a key for it."""
    async with assembled_ingest(log) as (assembly, key):
        yield assembly.app, key


@asynccontextmanager
async def assembled_ingest(log: Appending) -> AsyncIterator[tuple[Assembly, str]]:
    """Ingest assembled as it is served, on `log`, and a key for it."""
    with TemporaryDirectory() as directory:
        database = open_sqlite(Path(directory) / "keys.sqlite")
        await bring_up(database)
        keys = KeyRing(database, SystemClock())
        base = Foundations(
            config=Config.model_validate({"products": {PRODUCT: {"time_zone": "Asia/Tokyo"}}}),
            settings=Settings(),
            clock=SystemClock(),
            database=database,
            log=log,  # type: ignore[arg-type]
            keys=keys,
            random=None,  # type: ignore[arg-type]
            make_id=lambda: str(uuid4()),
        )
        assembly = assemble(base, ["ingest"])
        try:
            yield assembly, await keys.create(PRODUCT)
        finally:
            await assembly.close()
            await database.close()


async def post(app: ASGIApp, request: Posted) -> int:
    """One request through `app`; the status of its answer."""
    headers = {"content-length": str(len(request.body)), **request.headers}
    return await _ask(app, "POST", request.path, headers, request.body)


async def get(app: ASGIApp, path: str) -> int:
    """The status of what `app` answers."""
    return await _ask(app, "GET", path, {}, b"")


async def _ask(app: ASGIApp, method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    status = 0
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("bench", 80),
        "client": ("bench", 1),
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def cpu_seconds(app: ASGIApp, request: Posted, requests: int, expected: int) -> float:
    """CPU seconds of `requests` of them; fails for any that is not answered by `expected`."""
    gc.collect()
    await asyncio.sleep(0)  # the loop lets go of timers cancelled, as it would between requests
    await post(app, request)  # the collection has swept the processor's caches as well
    started = time.process_time()
    for _ in range(requests):
        status = await post(app, request)
        assert status == expected, f"{request.name} was answered by {status}"
    return time.process_time() - started


async def in_turns(
    contestants: Mapping[str, Callable[[], Awaitable[float]]], rounds: int
) -> dict[str, list[float]]:
    """What each one took in each of `rounds`; they take turns, each round beginning with another one."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for round_number in range(rounds):
        start = round_number % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(await contestants[name]())
    return seconds
