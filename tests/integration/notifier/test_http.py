"""The HTTP client against real sockets: slow, endless, broken and redirecting receivers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from standardwebhooks.webhooks import Webhook

from services.notifier.channels.http import BODY_BYTES_MAX, Answer, HttpClient, Request, open_client
from services.notifier.channels.webhook import SignedWebhook
from services.notifier.messages.letter import Letter
from services.notifier.tasks.folding import take_trigger
from services.notifier.tasks.ledger import Ledger
from shared import tracing
from shared.clock import SystemClock
from shared.config import WebhookChannel
from shared.errors import ConfigError
from shared.triggers import encode_trigger
from tests.traces import traced
from tests.unit.notifier.cases import NOON, SECRET, config, stop

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
PATIENCE_SECONDS = 20
OLD_SECRET = "whsec_" + "b2xkb2xkb2xkb2xkb2xkb2xkb2xk"


class Receiver:
    """A server on a free port: reads a request, does what its script says, and hangs up after some."""

    def __init__(self, talk: Talk, requests_per_connection: int) -> None:
        self._talk = talk
        self._requests_per_connection = requests_per_connection
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self.url = ""
        self._talks: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def connection_count(self) -> int:
        return len(self._talks)

    async def end(self) -> None:
        """Hangs up on everybody, and leaves no conversation behind."""
        for writer in self._talks:
            writer.close()
        await asyncio.gather(*filter(None, self._talks.values()), return_exceptions=True)

    async def has(self, count: int) -> None:
        """Returns once so many requests have come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.requests) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks[writer] = asyncio.current_task()
        try:
            for _ in range(self._requests_per_connection):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_content_length(head))
                self.requests.append(head + body)
                self.arrived.set()
                await self._talk(head, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def _content_length(head: bytes) -> int:
    lengths = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(next(lengths, b":0").partition(b":")[2])


@asynccontextmanager
async def receiver(
    talk: Talk, *, requests_per_connection: int = 1, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    made = Receiver(talk, requests_per_connection)
    server = await asyncio.start_server(made.on_connect, "127.0.0.1", 0, ssl=tls)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    try:
        yield made
    finally:
        server.close()
        await made.end()


def saying(text: str) -> Talk:
    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        await writer.drain()

    return talk


async def never(_head: bytes, writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await writer.drain()


async def posted(talk: Talk, *, attempt_seconds: float = 5.0) -> tuple[Answer, Receiver]:
    client = HttpClient(aiohttp.TCPConnector, attempt_seconds=attempt_seconds)
    try:
        async with receiver(talk) as made:
            return await client.send(Request(url=made.url, body=b"{}")), made
    finally:
        await client.close()


async def test_an_answer_is_read_with_its_status_headers_and_body() -> None:
    answer, made = await posted(
        saying("HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nslow")
    )
    assert (answer.status, answer.retry_after_seconds, answer.body) == (429, 7.0, b"slow")
    assert made.requests[0].startswith(b"POST /in HTTP/1.1\r\n")


async def test_the_status_of_an_answer_is_told_by_the_span_around_it() -> None:
    with traced() as traces, tracing.span("deliver phone", "client"):
        await posted(saying("HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n"))
    assert traces.one("deliver phone").attributes == {"http.response.status_code": 503}


async def test_an_endless_answer_is_cut_short_and_still_a_success() -> None:
    answer, _ = await posted(endless)
    assert answer.is_success
    assert len(answer.body) == BODY_BYTES_MAX


async def test_a_receiver_that_says_nothing_is_left_after_the_attempts_time() -> None:
    answer, _ = await posted(never, attempt_seconds=0.2)
    assert (answer.status, answer.error, answer.uncertain) == (None, "no answer in time", True)


async def test_a_receiver_that_hangs_up_may_have_read_it() -> None:
    answer, _ = await posted(saying(""))
    assert answer.status is None
    assert answer.uncertain


async def test_nonsense_instead_of_http_is_an_error_and_no_fault() -> None:
    answer, _ = await posted(saying("hello\r\n\r\n"))
    assert answer.status is None
    assert answer.error


async def test_a_port_where_nobody_listens_has_certainly_not_read_it() -> None:
    async with receiver(never) as made:
        url = made.url
    client = HttpClient(aiohttp.TCPConnector)
    answer = await client.send(Request(url=url, body=b""))
    await client.close()
    assert (answer.status, answer.uncertain) == (None, False)
    assert answer.error


async def test_a_redirect_is_not_followed() -> None:
    async with receiver(saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as elsewhere:
        answer, _ = await posted(
            saying(f"HTTP/1.1 302 Found\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n\r\n")
        )
        assert answer.status == 302
        assert elsewhere.requests == []


async def test_a_private_address_is_refused_unless_allowed() -> None:
    async with receiver(saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as made:
        for allow_private, count in ((False, 0), (True, 1)):
            client = open_client(allow_private)
            answer = await client.send(Request(url=made.url, body=b"{}"))
            await client.close()
            assert answer.forbidden is not allow_private
            assert len(made.requests) == count


async def test_credentials_in_two_places_are_an_error_and_no_fault() -> None:
    client = open_client(True)
    request = Request(url="http://me:secret@127.0.0.1:9/", body=b"{}", headers={"authorization": "Bearer x"})
    answer = await client.send(request)
    await client.close()
    assert answer.forbidden
    assert "AUTHORIZATION" in answer.error
    assert "secret" not in answer.error


async def test_a_cookie_that_a_receiver_sets_is_not_sent_back() -> None:
    said = saying("HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n")
    client = HttpClient(aiohttp.TCPConnector)
    async with receiver(said) as made:
        url = made.url.replace("127.0.0.1", "localhost")  # a jar would keep no cookie of an address
        for _ in range(2):
            await client.send(Request(url=url, body=b""))
        assert len(made.requests) == 2
        assert not any(b"cookie: a=b" in request.lower() for request in made.requests)
    await client.close()


# The signature, checked by the standard's own library


def letter() -> Letter:
    trigger = stop(name="割烹 さくら")
    value = encode_trigger(trigger)
    ledger = Ledger(channels=config().channels)
    take_trigger(ledger, trigger, value, config(), NOON)
    delivery = next(d for d in ledger.new_deliveries.values() if d.channel == "phone")
    return Letter(delivery=delivery, task=ledger.changed[trigger.id], trigger=trigger, value=value)


async def test_the_standards_own_library_verifies_what_we_sign_with_new_and_old_secret() -> None:
    now_us = SystemClock().now_us()  # the library compares with the machine's clock
    async with receiver(saying("HTTP/1.1 204 No Content\r\n\r\n")) as made:
        section = WebhookChannel(
            kind="webhook", url=made.url, secret=SECRET, old_secrets=(OLD_SECRET,), headers={"x-team": "cs"}
        )
        channel = SignedWebhook("phone", section, open_client(True))
        result = await channel.send([letter()], now_us)
        await channel.close()
    assert result.verdict == "delivered"
    head, _, body = made.requests[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value for name, value in headers.items()}
    assert body == encode_trigger(stop(name="割烹 さくら"))
    assert (headers["webhook-id"], headers["x-team"]) == (stop().id, "cs")
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body, headers)["id"] == stop().id


@pytest.mark.parametrize("secret", ["", "whsec_", "short", "whsec_c2hvcnQ="])
def test_a_secret_that_protects_nothing_is_refused_at_start(secret: str) -> None:
    section = WebhookChannel(kind="webhook", url="https://a.example", secret=secret)
    with pytest.raises(ConfigError, match="openssl rand"):
        SignedWebhook("phone", section, open_client(True))


@pytest.mark.parametrize("url", ["", "ftp://a.example", "https://", "a.example/in"])
def test_an_address_that_is_none_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"channels\.phone\.url"):
        SignedWebhook("phone", WebhookChannel(kind="webhook", url=url, secret=SECRET), open_client(True))
