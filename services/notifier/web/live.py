"""Live pages: a stream of server-sent events that says when the tasks have changed, whoever changed them.

One look a second a process, however many pages are open, and none while nobody looks: the number in the
database grows with the changes of every process (decision record 0092).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.notifier.web.frame import HEADERS, Frame
from shared.errors import TransientError

log = structlog.get_logger()

LOOK_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""After so long without news a line is sent all the same, so that proxies keep the connection."""

GAP_SECONDS = 2.0
"""A thousand stops in one sweep refresh a page every other second, not a thousand times."""


class Pulse:
    """Looks whether anything has changed, while somebody listens."""

    def __init__(
        self,
        version: Callable[[], Awaitable[str]],
        *,
        look_seconds: float = LOOK_SECONDS,
        gap_seconds: float = GAP_SECONDS,
    ) -> None:
        self._version = version
        self._look_seconds = look_seconds
        self._gap_seconds = gap_seconds
        self._known = ""
        self._changed = asyncio.Event()
        self._poked = asyncio.Event()
        self._ended = asyncio.Event()
        self._listener_count = 0
        self._watch: asyncio.Task[None] | None = None

    @property
    def is_looking(self) -> bool:
        """Whether the database is asked at all."""
        return self._watch is not None

    def poke(self) -> None:
        """This process has changed something: look now."""
        self._poked.set()

    def hang_up(self) -> None:
        """Ends every stream; the pages come back to whichever process takes its place."""
        self._ended.set()
        self._changed.set()
        self._poked.set()

    async def changes(self, since: str) -> AsyncGenerator[str | None, None]:
        """The version, each time it is another than before; None when nothing was to be said for long."""
        self._listener_count += 1
        try:
            if self._watch is None:
                await self._look()
            # Asked again: somebody else may have come during that look.
            if self._watch is None:
                self._watch = asyncio.create_task(self._look_on())
            while not self._ended.is_set():
                changed = self._changed
                if self._known != since:
                    since = self._known
                    yield since
                    await self._wait(self._ended, self._gap_seconds)
                elif not await self._wait(changed, QUIET_SECONDS):
                    yield None
        finally:
            self._listener_count -= 1
            if not self._listener_count and self._watch is not None:
                self._watch.cancel()
                self._watch = None

    async def _look_on(self) -> None:
        while not self._ended.is_set():
            await self._wait(self._poked, self._look_seconds)
            self._poked.clear()
            await self._look()

    async def _look(self) -> None:
        try:
            version = await self._version()
        except TransientError as error:
            # Pages stay as they are; the next look tells them what they have missed.
            log.warning("live pages wait for the database", error=error.message)
            return
        if version != self._known:
            self._known = version
            waiting, self._changed = self._changed, asyncio.Event()
            waiting.set()

    async def _wait(self, event: asyncio.Event, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True


def add_live(made: APIRouter, frame: Frame, pulse: Pulse) -> None:
    """`/live`: an event `change` whenever the tasks are others than at `since`."""

    @made.get("/live")
    async def follow(request: Request, since: str = "") -> Response:
        await frame.reader(request)
        # A browser that was cut off says itself what it heard last.
        heard = request.headers.get("last-event-id") or since
        return StreamingResponse(
            _lines(pulse, heard),
            media_type="text/event-stream",
            headers=HEADERS | {"X-Accel-Buffering": "no"},
        )


async def _lines(pulse: Pulse, since: str) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async for version in pulse.changes(since):
        yield ": still here\n\n" if version is None else f"id: {version}\nevent: change\ndata: {version}\n\n"
