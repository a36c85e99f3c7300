"""A TCP proxy that can lose an answer or cut the line, to stand between a client and a real server."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65_536


class Proxy:
    """Listens on `port` of the loopback and passes on to `target_port`; `async with` opens and closes it."""

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.port = port
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._matches: Callable[[bytes], bool] | None = None
        self._is_cut = False
        self._requests_pass = asyncio.Event()
        self._answers_pass = asyncio.Event()
        self.lost_count = 0
        self.release()

    def lose_answer_to(self, matches: Callable[[bytes], bool]) -> None:
        """Pass the next request on for which `matches`, and close the line instead of passing its answer."""
        self._matches = matches

    def cut(self) -> None:
        """Close every line, and every new one at once, until `mend`."""
        self._is_cut = True
        for line in self._lines:
            line.close()

    def mend(self) -> None:
        self._is_cut = False

    def hold(self, *, requests: bool = True, answers: bool = True) -> None:
        """Let nothing through in one direction or both, while every line stays open, until `release`.

        What is held arrives then, as it does after packets were lost and sent again.
        """
        if requests:
            self._requests_pass.clear()
        if answers:
            self._answers_pass.clear()

    def release(self) -> None:
        self._requests_pass.set()
        self._answers_pass.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for line in list(self._lines):
            with contextlib.suppress(OSError):
                await line.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        ends = {writer, server_writer}
        self._lines |= ends
        loses = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_requests(reader, server_writer, loses))
                both.create_task(self._pass_answers(server_reader, writer, loses))
        except* (OSError, EOFError):
            pass
        finally:
            self._lines -= ends
            for end in ends:
                end.close()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: asyncio.Event
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if self._matches is not None and self._matches(chunk):
                self._matches = None
                loses.set()
            await self._requests_pass.wait()
            writer.write(chunk)
            await writer.drain()
        raise EOFError

    async def _pass_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: asyncio.Event
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if loses.is_set():
                # The server has done what it was asked for; only the client will never hear of it.
                self.lost_count += 1
                break
            await self._answers_pass.wait()
            writer.write(chunk)
            await writer.drain()
        raise EOFError
