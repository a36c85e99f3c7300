"""Connections that send no head, or no end of one, are hung up on; others are not."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.connections import HEAD_BYTES_MAX, BoundedHeads, make_room_for_connections
from services.serving import bind

SECONDS_MAX = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Hasty(BoundedHeads):
    head_seconds_max = 0.3


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def connected(
    protocol: type[BoundedHeads],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(app, http=protocol, log_config=None, lifespan="off", port=0, host="127.0.0.1")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.shutdown()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\nX-Slow: "])
async def test_whose_head_does_not_come_is_hung_up_on(sent: bytes) -> None:
    async with connected(Hasty) as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), SECONDS_MAX) == b""


@pytest.mark.parametrize("sent", [b"GET /", b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: "])
async def test_an_endless_head_is_hung_up_on_at_the_bound(sent: bytes) -> None:
    async with connected(BoundedHeads) as (reader, writer):
        writer.write(sent + b"x" * (HEAD_BYTES_MAX + 1))
        assert b"200" not in await asyncio.wait_for(reader.read(), SECONDS_MAX)


async def test_a_second_request_on_the_same_connection_has_its_own_time() -> None:
    async with connected(Hasty) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS_MAX)
            assert head.startswith(b"HTTP/1.1 204")
        writer.write(REQUEST[:10])
        assert await asyncio.wait_for(reader.read(), SECONDS_MAX) == b""


def test_there_is_room_for_as_many_connections_as_the_machine_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        make_room_for_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_the_end_of_an_answer_is_not_kept_back():
    met: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    with bind("127.0.0.1", 0) as listener:
        async with await asyncio.start_server(lambda _, writer: met.set_result(writer), sock=listener):
            _, ours = await asyncio.open_connection(*listener.getsockname())
            theirs = await met
            accepted = theirs.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            theirs.close()
            ours.close()
