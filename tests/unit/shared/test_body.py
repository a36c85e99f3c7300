"""Bodies: whole, compressed, too large, cut short and slow."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Annotated

import httpx
import pytest
from fastapi import Body, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from shared.body import BODY_BYTES_MAX, LimitBodies, read_body
from shared.errors import NotParseable, RequestTimeout, TooLarge, UnsupportedMediaType
from shared.http import install_errors


def request(*chunks: bytes, **headers: str) -> Request:
    """A request whose body arrives in these pieces."""
    waiting = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": named}, receive)


def pieces(body: bytes, size: int) -> Iterable[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)] or [b""]


@given(body=st.binary(max_size=2000).filter(lambda body: body[:2] != b"\x1f\x8b"), size=st.integers(1, 300))
async def test_a_body_comes_out_as_it_was_sent(body: bytes, size: int) -> None:
    assert await read_body(request(*pieces(body, size))) == body


@given(
    parts=st.lists(st.binary(max_size=500), min_size=1, max_size=4),
    size=st.integers(1, 300),
    padding=st.integers(0, 20),
)
async def test_gzip_is_inflated_in_any_pieces(parts: list[bytes], size: int, padding: int) -> None:
    compressed = b"".join(gzip.compress(part) for part in parts) + b"\0" * padding
    assert await read_body(request(*pieces(compressed, size))) == b"".join(parts)


@given(body=st.binary(max_size=300), size=st.integers(1, 50))
async def test_anything_that_claims_to_be_gzip_is_read_or_refused(body: bytes, size: int) -> None:
    with suppress(NotParseable):
        assert len(await read_body(request(*pieces(b"\x1f\x8b" + body, size)))) <= BODY_BYTES_MAX


async def test_plain_json_under_a_gzip_header_is_taken_as_it_is() -> None:
    assert await read_body(request(b'{"a": 1}', content_encoding="gzip")) == b'{"a": 1}'


async def test_gzip_without_a_header_is_inflated_all_the_same() -> None:
    body = gzip.compress(b'{"a": 1}')
    assert await read_body(request(body, content_type="application/x-www-form-urlencoded")) == b'{"a": 1}'


async def test_an_encoding_that_nobody_speaks_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        await read_body(request(b"x", content_encoding="br"))


@pytest.mark.parametrize(
    "headers", [{}, {"content_length": "11"}, {"content_length": "x"}, {"content_length": "٣"}]
)
async def test_a_body_over_the_bound_is_refused_with_or_without_a_length(headers: dict[str, str]) -> None:
    with pytest.raises(TooLarge):
        await read_body(request(b"12345", b"678901", **headers), bytes_max=10)
    assert await read_body(request(b"12345", b"67890", **headers), bytes_max=11) == b"1234567890"


async def test_a_declared_length_over_the_bound_is_refused_without_reading_when_the_client_asks_first() -> (
    None
):
    with pytest.raises(TooLarge):
        await read_body(request(content_length="2000000", expect="100-continue"))


async def test_a_bomb_is_refused_while_inflating_and_takes_no_memory() -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    bomb = b"".join(squeeze.compress(zeros) for _ in range(256)) + squeeze.flush()
    tracemalloc.start()
    with pytest.raises(TooLarge):
        await read_body(request(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * BODY_BYTES_MAX


async def test_thousands_of_empty_members_are_refused() -> None:
    with pytest.raises(TooLarge, match="members"):
        await read_body(request(gzip.compress(b"") * 1000))


async def test_a_gzip_cut_short_is_not_parseable() -> None:
    with pytest.raises(NotParseable):
        await read_body(request(gzip.compress(b"x" * 1000)[:-9]))


async def test_a_body_that_never_comes_is_given_up() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    waiting = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(RequestTimeout):
        await read_body(waiting, seconds_max=0.01)


async def test_a_route_that_reads_its_body_itself_is_given_no_more_and_waits_no_longer() -> None:
    app = FastAPI()
    install_errors(app)
    app.add_middleware(LimitBodies, bytes_max=20, seconds_max=0.05)

    @app.post("/")
    async def post(names: Annotated[list[str], Body()]) -> int:
        return len(names)

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        fits, exceeds = await http.post("/", json=["a", "b"]), await http.post("/", json=["a" * 20])
        late = await http.post("/", content=_never_whole())
    assert (fits.status_code, fits.json()) == (200, 2)
    assert (exceeds.status_code, exceeds.json()["code"]) == (413, "too_large")
    assert (late.status_code, late.json()["code"]) == (408, "request_timeout")
    assert late.headers["retry-after"] == "1"


async def _never_whole() -> AsyncIterator[bytes]:
    yield b"["
    await asyncio.Event().wait()
