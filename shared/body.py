"""Request bodies with limits: nothing is held beyond the bound, whatever the header says of its size."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import NotParseable, RequestTimeout, TooLarge, UnsupportedMediaType

BODY_BYTES_MAX = 1 << 20
BODY_SECONDS_MAX = 30.0

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_MEMBERS_MAX = 64
_DISCARDED_BYTES_MAX = 16 << 20
_ENCODINGS = ("", "identity", "gzip", "x-gzip")


async def read_body(
    request: Request, *, bytes_max: int = BODY_BYTES_MAX, seconds_max: float = BODY_SECONDS_MAX
) -> bytes:
    """The whole body, inflated where it is gzip, never holding more than `bytes_max` bytes of it.

    Gzip is known by its first two bytes, because some SDKs send it without saying so and some
    proxies inflate it and leave the header. Raises TooLarge, NotParseable, UnsupportedMediaType or
    RequestTimeout.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise UnsupportedMediaType(f"content encoding {encoding[:40]!r} is not understood; send gzip or none")
    try:
        async with asyncio.timeout(seconds_max):
            if _declared_bytes(request) > bytes_max:
                await _discard_declared(request, bytes_max)
                raise _too_large(bytes_max)
            return await _inflated(request.stream(), bytes_max)
    except TimeoutError as error:
        raise _too_late(seconds_max) from error


class LimitBodies:
    """ASGI middleware: no route is given more than `bytes_max` bytes of body, nor waits for it longer than
    `seconds_max`, however it reads it."""

    def __init__(
        self, app: ASGIApp, bytes_max: int = BODY_BYTES_MAX, seconds_max: float = BODY_SECONDS_MAX
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        until = asyncio.get_running_loop().time() + self._seconds_max
        received_count, is_whole = 0, False

        async def limited() -> Message:
            nonlocal received_count, is_whole
            if is_whole:
                return await receive()  # that the sender has gone, for which an answer may wait for hours
            # FastAPI turns anything but an HTTPException that comes up while it reads a body into a 400.
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
                    is_whole = not message.get("more_body", False)
                    received_count += len(message.get("body", b""))
                    if received_count > self._bytes_max:
                        if not is_whole:
                            await _discard_declared(Request(scope, receive), self._bytes_max)
                        raise HTTPException(413, _too_large(self._bytes_max).message)
            except TimeoutError as error:
                late = _too_late(self._seconds_max)
                again = {"Retry-After": str(late.retry_after_seconds)}
                raise HTTPException(408, late.message, again) from error
            return message

        await self._app(scope, limited, send)


def _declared_bytes(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


async def _discard_declared(request: Request, bytes_max: int) -> None:
    """Read a refused body away, within reason, so that its sender gets to see the answer.

    Most clients write everything before they read; closing on them early looks like a broken
    connection, which they take for an outage. Whoever asks first (`Expect`) is told at once.
    """
    if bytes_max < _declared_bytes(request) <= _DISCARDED_BYTES_MAX and "expect" not in request.headers:
        async for _ in request.stream():
            pass


async def _inflated(stream: AsyncIterator[bytes], bytes_max: int) -> bytes:
    first, more = b"", bytearray()  # Nearly every body comes in one piece, and that one is never copied.
    gunzip: _Gunzip | None = None
    received_count = 0
    async for chunk in stream:
        received_count += len(chunk)
        if received_count > bytes_max:
            raise _too_large(bytes_max)
        if gunzip is not None:
            more += gunzip.feed(chunk)
        elif len(first) >= len(_GZIP_MAGIC):
            more += chunk
        else:
            first += chunk
            if first.startswith(_GZIP_MAGIC):
                gunzip = _Gunzip(bytes_max)
                first, more = b"", bytearray(gunzip.feed(first))
    if gunzip is not None:
        gunzip.finish()
    return first + more if more else first


class _Gunzip:
    """Inflates a stream of gzip members piece by piece, and stops at the bound while inflating."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._size = 0
        self._member_count = 1
        self._inflater = zlib.decompressobj(wbits=31)

    def feed(self, chunk: bytes) -> bytes:
        parts = []
        while chunk:
            parts.append(self._inflate(chunk))
            # Some writers pad the end of a member with zeros, as tar does.
            chunk = self._inflater.unused_data.lstrip(b"\0")
            if chunk:
                self._next_member()
        return b"".join(parts)

    def finish(self) -> None:
        if not self._inflater.eof:
            raise NotParseable("the gzip body is cut short")

    def _inflate(self, chunk: bytes) -> bytes:
        room = self._bytes_max - self._size + 1
        try:
            part = self._inflater.decompress(chunk, room)
        except zlib.error as error:
            raise NotParseable("the gzip body is damaged") from error
        self._size += len(part)
        if self._size > self._bytes_max:
            raise _too_large(self._bytes_max)
        return part

    def _next_member(self) -> None:
        self._member_count += 1
        if self._member_count > _GZIP_MEMBERS_MAX:
            raise TooLarge(f"a gzip body has {_GZIP_MEMBERS_MAX} members at the most")
        self._inflater = zlib.decompressobj(wbits=31)


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"a body holds {bytes_max} bytes at the most after decompression; send it in parts")


def _too_late(seconds_max: float) -> RequestTimeout:
    return RequestTimeout(f"the body did not arrive within {seconds_max:g} seconds")
