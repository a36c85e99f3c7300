"""The only module that speaks HTTP to the outside: bounded in time and bytes, and no way inwards."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Protocol

import httpx
import msgspec

from services.notifier.channels.addresses import CheckedTransport, ForbiddenAddress, resolve
from shared import tracing
from shared.errors import ConfigError

CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0
BODY_SECONDS = 2.0
BODY_BYTES_MAX = 16 * 1024
"""So much of an answer is read; the rest is left where it is."""

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
    """A client over httpx's transports: no redirects, no environment proxies, no cookies, no endless answers.

    As many connections as requests are under way at once, each with a transport of its own: httpx's pool
    asks after every idle connection at every request, which costs more than the request itself. The
    connection used last is used next, so that the others are closed when there is little to do.
    """

    def __init__(
        self,
        make_transport: Callable[[], httpx.AsyncBaseTransport],
        *,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._make_transport = make_transport
        self._all: list[httpx.AsyncBaseTransport] = []
        self._idle: list[httpx.AsyncBaseTransport] = []
        self._attempt_seconds = attempt_seconds
        patience = httpx.Timeout(attempt_seconds, connect=CONNECT_SECONDS)
        self._extensions = {"timeout": patience.as_dict()}

    async def send(self, request: Request) -> Answer:
        transport = self._idle.pop() if self._idle else self._opened()
        try:
            # httpx bounds each read; a receiver that drips bytes is bounded by the whole attempt.
            async with asyncio.timeout(self._attempt_seconds):
                return await self._exchanged(transport, request)
        except TimeoutError:
            return Answer(error="no answer in time", uncertain=True)
        except ForbiddenAddress as error:
            return Answer(error=_said(error), forbidden=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(error=_said(error))
        except httpx.TimeoutException:
            return Answer(error="no answer in time", uncertain=True)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return Answer(error=_said(error), uncertain=isinstance(error, httpx.TransportError))
        finally:
            self._idle.append(transport)

    def _opened(self) -> httpx.AsyncBaseTransport:
        transport = self._make_transport()
        self._all.append(transport)
        return transport

    async def _exchanged(self, transport: httpx.AsyncBaseTransport, request: Request) -> Answer:
        response = await transport.handle_async_request(
            httpx.Request(
                request.method,
                _parsed(request.url),
                content=request.body,
                headers=dict(request.headers),
                extensions=self._extensions,
            )
        )
        tracing.note({"http.response.status_code": response.status_code})
        try:
            return Answer(
                status=response.status_code,
                headers={
                    name: response.headers[name] for name in _ANSWERED_HEADERS if name in response.headers
                },
                body=await _beginning(response, request.answer_bytes_max),
            )
        finally:
            await response.aclose()

    async def close(self) -> None:
        for transport in self._all:
            await transport.aclose()


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


async def _beginning(response: httpx.Response, bytes_max: int) -> bytes:
    """The first bytes of an answer, as sent: a compressed one is not blown up.

    The status is known by now and decides; a body that never ends or breaks off changes nothing.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= bytes_max:
                    break
    except (TimeoutError, httpx.TransportError):
        return bytes(body)
    return bytes(body[:bytes_max])


def _said(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def open_client(allow_private: bool) -> HttpClient:
    """A client over the network; private addresses are refused unless allowed."""
    return HttpClient(_to_anywhere if allow_private else _to_public_addresses)


def _to_anywhere() -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    return httpx.AsyncHTTPTransport(verify=_tls(), limits=limits, trust_env=False, retries=0)


def _to_public_addresses() -> httpx.AsyncBaseTransport:
    return CheckedTransport(_to_anywhere(), resolve)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the authorities' certificates takes longer than a request; all connections share them.
    return httpx.create_ssl_context(trust_env=False)


def check_url(url: str, place: str) -> None:
    """Raises ConfigError unless `url` is http or https with a host."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigError(f"{place}: {_said(error)}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{place}: a channel's url starts with https:// and names a host")
