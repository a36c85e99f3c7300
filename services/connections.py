"""What bounds connections that send nothing: time and size of a request's head, and room for many of them.

uvicorn waits for a head for ever, and holds as much of it as comes. Bodies have their bounds in
`shared/body.py` (decision record 0026).
"""

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS_MAX = 20.0
HEAD_BYTES_MAX = 64 << 10
OPEN_FILES_MAX = 65_536


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol; whose head has not arrived in time, or is too long, is hung up on."""

    head_seconds_max = HEAD_SECONDS_MAX

    _deadline: asyncio.TimerHandle | None = None
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None:
            self._head_size += len(data)
            if self._head_size > HEAD_BYTES_MAX:
                self._hang_up()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._await_nothing()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await_nothing()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._await_nothing()
        self._deadline = self.loop.call_later(self.head_seconds_max, self._hang_up)

    def _await_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._head_size = None, 0

    def _hang_up(self) -> None:
        self._await_nothing()
        if not self.transport.is_closing():
            self.transport.close()


def make_room_for_connections() -> None:
    """As many open files as we may have: a thousand idle senders must not use up the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
