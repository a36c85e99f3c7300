"""A real `serve` among those who mean it ill: its memory stays flat, and everybody else is served."""

import asyncio
import errno
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.running import Serving, serving

GIB = 1 << 30
MIB = 1 << 20
BOMB_BYTES = 10 * GIB
SLOW_CONNECTIONS = 1_000
HUNG_UP = {errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE}
DEPTH = 100_000
GROWTH_BYTES_MAX = 48 * MIB
SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture(scope="module")
def key(service: Serving) -> str:
    return service.first_key()


@asynccontextmanager
async def served(service: Serving, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ours, and the promise that memory is about what it was when the block ends."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=service.url, headers=headers, timeout=SECONDS_MAX, trust_env=False
    ) as http:
        for _ in range(20):
            assert (await http.post("/v1/events", json={"customer_id": "c"})).status_code == 202
        before = service.resident_bytes
        yield http
        assert (await http.post("/v1/events", json={"customer_id": "c"})).status_code == 202
        assert service.resident_bytes - before < GROWTH_BYTES_MAX


def bomb() -> Iterator[bytes]:
    """Ten gigabytes of nothing, as ten megabytes of gzip."""
    deflate, zeros = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(8 * MIB)
    for _ in range(BOMB_BYTES // len(zeros)):
        yield deflate.compress(zeros)
    yield deflate.flush()


def head(service: Serving, key: str, *headers: str) -> bytes:
    host = urlsplit(service.url).netloc
    lines = ["POST /v1/events HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {key}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connections(service: Serving, count: int) -> AsyncIterator[list[Connection]]:
    address = urlsplit(service.url)
    opened = [await asyncio.open_connection(address.hostname, address.port) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)


async def test_what_inflates_to_ten_gigabytes_is_cut_off_at_the_bound(service: Serving, key: str) -> None:
    async with served(service, key) as http, connections(service, 1) as [(reader, writer)]:
        answer = asyncio.create_task(reader.readline())
        writer.write(head(service, key, "Content-Encoding: gzip", "Transfer-Encoding: chunked"))
        sent_count = 0
        for chunk in filter(None, bomb()):
            if answer.done():
                break
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            sent_count += len(chunk)
            await asyncio.wait({answer}, timeout=0)  # what was written has to leave, and be answered
        assert (await asyncio.wait_for(answer, SECONDS_MAX)).split()[1] == b"413"
        assert sent_count < 2 * MIB
        assert (await http.get("/healthz")).status_code == 200


async def test_a_thousand_slow_connections_keep_nobody_waiting(service: Serving, key: str) -> None:
    async with served(service, key) as http, connections(service, SLOW_CONNECTIONS) as slow:
        half = head(service, key, "Content-Length: 1000") + b'{"customer'
        for n, (_, writer) in enumerate(slow):
            # Some stop in the middle of the head, some in the body, some before they have begun.
            writer.write((half, half[: len(half) // 2], b"")[n % 3])
        answers = [await http.post("/v1/events", json={"customer_id": f"c-{n}"}) for n in range(50)]
        assert {answer.status_code for answer in answers} == {202}
        assert max(answer.elapsed.total_seconds() for answer in answers) < SECONDS_MAX / 10


async def test_a_hundred_thousand_brackets_are_a_bad_request_wherever_they_are_sent(
    service: Serving, key: str
) -> None:
    deep = b'{"customer_id": "c", "batch": [' + b'{"a":' * DEPTH + b"1" + b"}" * DEPTH + b"]}"
    async with served(service, key) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        taking = [(m, p) for p, methods in paths.items() for m in methods if "requestBody" in methods[m]]
        assert len(taking) > 20
        for method, path in taking:
            where = path.replace("{", "").replace("}", "")
            headers = {"Content-Type": "application/json"}
            answer = await http.request(method, where, content=deep, headers=headers)
            assert 400 <= answer.status_code < 500, (method, path, answer.text)


async def test_bytes_that_are_no_http_are_no_trouble(service: Serving, key: str) -> None:
    address = urlsplit(service.url)
    async with served(service, key):
        for noise in (b"\x16\x03\x01" * 1000, b"\x00" * 100_000, b"GET " + b"/" * 1_000_000):
            with socket.create_connection((str(address.hostname), address.port or 80)) as caller:
                try:
                    caller.sendall(noise)
                    caller.shutdown(socket.SHUT_WR)
                    assert b" 200 " not in caller.recv(1 << 16)
                except OSError as error:
                    if error.errno not in HUNG_UP:  # it may, before it has heard everything
                        raise


def test_the_bomb_is_one() -> None:
    inflate, size = zlib.decompressobj(31), 0
    for chunk in filter(None, bomb()):
        size += len(inflate.decompress(chunk, 64 * MIB))
        if size >= 64 * MIB:
            break
    assert size >= 64 * MIB
