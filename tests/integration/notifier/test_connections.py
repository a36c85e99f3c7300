"""The HTTP client's connections on real sockets: kept and given up, made to a name, and what they carry."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from socket import AF_INET, AddressFamily

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from services.notifier.channels import http
from services.notifier.channels.http import Answer, HttpClient, Request, open_client
from tests.integration.notifier.certificates import certificate
from tests.integration.notifier.test_http import Receiver, Talk, receiver, saying

FINE = saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
LAST = saying("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
MANY = 1_000


async def posted(url: str, count: int = 1, *, answer_bytes_max: int = 100) -> Sequence[Answer]:
    """What one client is answered, one request after the other."""
    client = open_client(True)
    request = Request(url=url, body=b"{}", headers={"x-a": "b"}, answer_bytes_max=answer_bytes_max)
    try:
        return [await client.send(request) for _ in range(count)]
    finally:
        await client.close()


async def test_a_connection_is_used_for_one_request_after_the_other() -> None:
    async with receiver(FINE, requests_per_connection=MANY) as made:
        assert all(answer.body == b"ok" for answer in await posted(made.url, 20))
    assert (len(made.requests), made.connection_count) == (20, 1)


@pytest.mark.parametrize("talk", [FINE, LAST], ids=["without a word", "as announced"])
async def test_no_request_is_lost_by_a_receiver_that_hangs_up_after_each_answer(talk: Talk) -> None:
    async with receiver(talk) as made:
        assert all(answer.body == b"ok" for answer in await posted(made.url, 20))
    assert (len(made.requests), made.connection_count) == (20, 20)


class Answers:
    """Answers, but hangs up on some: the first request is 1."""

    def __init__(self, *hangs_up_on: int) -> None:
        self._hangs_up_on = hangs_up_on
        self._count = 0

    async def __call__(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        if self._count in self._hangs_up_on:
            writer.close()
        else:
            await FINE(head, writer)


async def test_a_request_that_finds_nobody_on_a_kept_connection_is_sent_once_more() -> None:
    async with receiver(Answers(2), requests_per_connection=MANY) as made:
        assert all(answer.is_success for answer in await posted(made.url, 2))
    assert (len(made.requests), made.connection_count) == (3, 2)


async def test_what_finds_nobody_twice_is_uncertain_and_what_finds_nobody_at_first_is_not_repeated() -> None:
    async with receiver(Answers(1, 3, 4), requests_per_connection=MANY) as made:
        lost, found, lost_again = await posted(made.url, 3)
    assert found.is_success
    for answer in (lost, lost_again):
        assert (answer.error, answer.uncertain) == ("Server disconnected", True)
    assert len(made.requests) == 4


async def test_a_connection_on_which_an_answer_was_not_read_to_its_end_is_given_up() -> None:
    more_to_come = saying("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok")
    async with receiver(more_to_come, requests_per_connection=MANY) as made:
        answers = await posted(made.url, 3, answer_bytes_max=2)
    assert [answer.body for answer in answers] == [b"ok"] * 3
    assert made.connection_count == 3


async def test_a_request_says_what_its_channel_says_and_what_http_needs() -> None:
    async with receiver(FINE) as made:
        await posted(made.url)
    head, _, body = made.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().lower().split("\r\n")
    host = made.url.removeprefix("http://").removesuffix("/in")
    assert (line, body) == ("post /in http/1.1", b"{}")
    assert sorted(headers) == ["content-length: 2", f"host: {host}", "x-a: b"]


async def test_a_url_is_sent_as_it_is_written() -> None:
    async with receiver(FINE) as made:
        await posted(f"{made.url}/%7Ea?sp=%2Frun%2f&sig=a%2Bb%3D&x=1+2")
    assert made.requests[0].startswith(b"POST /in/%7Ea?sp=%2Frun%2f&sig=a%2Bb%3D&x=1+2 HTTP/1.1")


async def test_a_compressed_answer_stays_as_it_came() -> None:
    packed = gzip.compress(b"x" * 1_000_000)

    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(packed), packed))

    async with receiver(talk) as made:
        (answer,) = await posted(made.url, answer_bytes_max=len(packed))
    assert answer.body == packed


async def test_a_success_with_a_long_header_is_one() -> None:
    header = "content-security-policy: " + "x" * 30_000
    async with receiver(saying(f"HTTP/1.1 200 OK\r\n{header}\r\ncontent-length: 0\r\n\r\n")) as made:
        (answer,) = await posted(made.url)
    assert answer.is_success


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(FINE) as proxy, receiver(FINE) as made:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await posted(made.url)
    assert (len(proxy.requests), len(made.requests)) == (0, 1)


async def test_an_error_does_not_quote_the_url_which_may_be_a_secret() -> None:
    async with receiver(saying("nonsense\r\n\r\n")) as made:
        (nonsense,) = await posted(f"{made.url}/T0/s3cret")
        url = made.url
    (nobody,) = await posted(f"{url}/T0/s3cret")
    (nowhere,) = await posted("http://127.1/T0/s3cret")
    for answer in (nonsense, nobody, nowhere):
        assert answer.error
        assert "s3cret" not in answer.error


@pytest.mark.parametrize("url", ["ftp://a.example/s3cret", "http:///s3cret", "http://a.example:x/s3cret"])
async def test_a_url_that_leads_nowhere_is_an_error_and_no_fault(url: str) -> None:
    (answer,) = await posted(url)
    assert answer.forbidden
    assert "s3cret" not in answer.error


async def test_a_request_with_no_body_says_so() -> None:
    async with receiver(FINE) as made:
        client = open_client(True)
        await client.send(Request(url=made.url, body=b""))
        await client.close()
    assert b"\r\ncontent-length: 0\r\n" in made.requests[0].lower()


async def test_where_no_connection_is_made_in_time_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.2)
    client = HttpClient(lambda: aiohttp.TCPConnector(resolver=Silent()))
    answer = await client.send(Request(url="http://a.example/", body=b"{}"))
    await client.close()
    assert (answer.error, answer.uncertain) == ("no connection in time", False)


# TLS: the name is what the certificate is checked against, whatever address it led to


class Here(AbstractResolver):
    """Every name leads to this machine."""

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return


class Silent(Here):
    """No name is ever found."""

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []


class Names:
    """The names by which a server was asked for in TLS handshakes."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def __call__(self, _socket: object, name: str | None, _context: ssl.SSLContext) -> None:
        self.asked.append(name)


@asynccontextmanager
async def secured(directory: Path, host: str) -> AsyncIterator[tuple[Receiver, Names, HttpClient]]:
    """A receiver with a certificate for `host`, and a client that trusts it and finds it under any name."""
    paths, names = certificate(directory, host), Names()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(*paths)
    server.sni_callback = names
    trusting = ssl.create_default_context(cafile=paths[0])
    client = HttpClient(lambda: aiohttp.TCPConnector(ssl=trusting, resolver=Here()))
    async with receiver(FINE, tls=server) as made:
        yield made, names, client
    await client.close()


async def test_the_name_is_in_the_handshake_and_in_the_host_header(tmp_path: Path) -> None:
    async with secured(tmp_path, "hooks.example") as (made, names, client):
        port = made.url.rpartition(":")[2]
        answer = await client.send(Request(url=f"https://hooks.example:{port}", body=b"{}"))
    assert answer.is_success
    assert names.asked == ["hooks.example"]
    assert f"\r\nhost: hooks.example:{port.removesuffix('/in')}\r\n".encode() in made.requests[0].lower()


async def test_a_certificate_for_another_name_is_not_trusted_and_nothing_is_sent(tmp_path: Path) -> None:
    async with secured(tmp_path, "hooks.example") as (made, _, client):
        port = made.url.rpartition(":")[2]
        answer = await client.send(Request(url=f"https://other.example:{port}", body=b"{}"))
    assert "certificate" in answer.error
    assert not answer.uncertain
    assert made.requests == []
