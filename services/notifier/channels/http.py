"""How channels speak HTTP to the outside: bounded in time and bytes, and no way inwards."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Protocol

import aiohttp
import httpx
import msgspec
from yarl import URL

from services.notifier.channels.addresses import CheckedResolver, ForbiddenAddress, public_socket, resolve
from shared import tracing
from shared.errors import ConfigError

CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0
BODY_SECONDS = 2.0
BODY_BYTES_MAX = 16 * 1024
"""So much of an answer is read; the rest is left where it is."""

HEADER_BYTES_MAX = 64 * 1024
"""An answer with a longer header than this counts as none, although its request was taken."""

KEPT_SECONDS = 4.0
"""A connection is kept so long for the next request; many a receiver hangs up after five."""

_OURS_TO_SAY = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_ANSWERED_HEADERS = ("retry-after", "location", "content-type")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent; of the answer at most `answer_bytes_max` are read."""

    url: str
    body: bytes
    headers: Mapping[str, str] = {}
    method: str = "POST"
    answer_bytes_max: int = BODY_BYTES_MAX


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: a status, or `error` where nothing did.

    `uncertain`: the request may have been read although no answer came. `body` is cut short.
    `forbidden`: we would not connect there at all.
    """

    status: int | None = None
    headers: Mapping[str, str] = {}
    body: bytes = b""
    error: str = ""
    uncertain: bool = False
    forbidden: bool = False

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def retry_after_seconds(self) -> float | None:
        """The receiver's wish in seconds; a date or nonsense counts as none."""
        wish = self.headers.get("retry-after", "")
        return float(wish) if wish.isdecimal() else None


class Client(Protocol):
    """Sends requests to one endpoint."""

    async def send(self, request: Request) -> Answer:
        """One attempt; never raises for what a network or a receiver does."""
        ...

    async def close(self) -> None: ...


ClientFactory = Callable[[bool], Client]
"""Makes a client; the argument says whether private addresses are allowed."""


class HttpClient:
    """A client over aiohttp: no redirects, no environment proxies, no cookies, no endless answers.

    As many connections as requests are under way at once; who bounds those is the caller.
    """

    def __init__(
        self, make_connector: Callable[[], aiohttp.BaseConnector], *, attempt_seconds: float = ATTEMPT_SECONDS
    ) -> None:
        self._make_connector = make_connector
        self._attempt_seconds = attempt_seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        try:
            # Of the whole attempt, so that a receiver that drips bytes is bounded too.
            async with asyncio.timeout(self._attempt_seconds):
                return await _read(await self._answered(request), request.answer_bytes_max)
        except (TimeoutError, aiohttp.ClientError, httpx.InvalidURL, ValueError) as error:
            return _unanswered(error)

    async def _answered(self, request: Request) -> aiohttp.ClientResponse:
        """The answer to a request; one that found nobody at the end of a kept connection is sent once more.

        A receiver may hang up at any time after an answer, most often without a word, and the request has
        crossed that on its way. Whether it was read all the same nobody can tell.
        """
        line = _Line()
        try:
            return await self._begun(request, line)
        except aiohttp.ClientConnectionError as hung_up:
            if not line.is_kept:
                raise
            try:
                return await self._begun(request, _Line())
            except aiohttp.ClientError:
                raise hung_up from None

    async def _begun(self, request: Request, line: "_Line") -> aiohttp.ClientResponse:
        return await self._opened().request(
            request.method,
            _parsed(request.url),
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            trace_request_ctx=line,
        )

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made with the first request: a session belongs to the loop that runs by then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._make_connector(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_OURS_TO_SAY,
                max_line_size=HEADER_BYTES_MAX,
                max_field_size=HEADER_BYTES_MAX,
                trace_configs=[_telling_of_kept_lines()],
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Line:
    """Whether a request went over a connection that had been used before."""

    is_kept = False


def _telling_of_kept_lines() -> aiohttp.TraceConfig:
    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _reused: object) -> None:
        context.trace_request_ctx.is_kept = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


def _unanswered(error: Exception) -> Answer:
    """What is said of a failure: never the url, which may be a secret."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Answer(error="no connection in time")
    if isinstance(error, TimeoutError):
        return Answer(error="no answer in time", uncertain=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Answer(error=_said(error.os_error), forbidden=isinstance(error.os_error, ForbiddenAddress))
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | httpx.InvalidURL):
        return Answer(error="the url names no address to connect to", forbidden=True)
    if isinstance(error, ValueError):
        # Headers that cannot be sent, or credentials in both the url and a header; aiohttp says which.
        return Answer(error=_said(error), forbidden=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Answer(error=_said(error.message), uncertain=True)
    return Answer(error=_said(error), uncertain=True)


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> Answer:
    tracing.note({"http.response.status_code": response.status})
    try:
        return Answer(
            status=response.status,
            headers={name: response.headers[name] for name in _ANSWERED_HEADERS if name in response.headers},
            body=await _beginning(response.content, bytes_max),
        )
    finally:
        # A connection whose answer was read to its end has been given back by now.
        response.close()


@lru_cache(maxsize=256)
def _parsed(url: str) -> URL:
    # As it was written: what yarl would spell otherwise may be signed.
    return URL(str(httpx.URL(url)), encoded=True)


async def _beginning(content: aiohttp.StreamReader, bytes_max: int) -> bytes:
    """The first bytes of an answer, as sent: a compressed one is not blown up.

    The status is known by now and decides; a body that never ends or breaks off changes nothing.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(body) < bytes_max and (chunk := await content.read(bytes_max - len(body))):
                body += chunk
    except (TimeoutError, aiohttp.ClientError):
        pass
    return bytes(body)


def _said(error: Exception | str) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def open_client(allow_private: bool) -> HttpClient:
    """A client over the network; private addresses are refused unless allowed."""
    return HttpClient(_to_anywhere if allow_private else _to_public_addresses)


def _to_anywhere() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS, ssl=_tls())


def _to_public_addresses() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=KEPT_SECONDS,
        ssl=_tls(),
        resolver=CheckedResolver(resolve),
        socket_factory=public_socket,
    )


@cache
def _tls() -> ssl.SSLContext:
    # Reading the authorities' certificates takes longer than a request; all connections share them.
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


def check_url(url: str, place: str) -> None:
    """Raises ConfigError unless `url` is http or https with a host."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigError(f"{place}: {_said(error)}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{place}: a channel's url starts with https:// and names a host")
