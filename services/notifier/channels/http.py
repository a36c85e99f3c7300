"""The only module that speaks HTTP to the outside: bounded in time and bytes, and no way inwards.

An address is checked after the name is resolved and the connection is made to that very address, so
neither a name that changes its mind nor an odd spelling of 127.0.0.1 leads to a machine of ours.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import httpx
import msgspec

from shared.errors import ConfigError

CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0
BODY_SECONDS = 2.0
BODY_BYTES_MAX = 16 * 1024
"""So much of an answer is read; the rest is left where it is."""

CONNECTIONS_MAX = 10
"""Per endpoint: httpx's pool slows down with its size, and one slow receiver must not eat every place."""

_ANSWERED_HEADERS = ("retry-after", "location", "content-type")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
# Tunnels (Teredo, 6to4) lead wherever their far end likes.
_V6_TUNNELS = (ipaddress.IPv6Network("2001::/23"), ipaddress.IPv6Network("2002::/16"))
# Protocol assignments and the old 6to4 relays, which older versions of `ipaddress` call global.
_V4_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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


class ForbiddenAddress(httpx.ConnectError):
    """The name leads to an address that is none of the public network."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the public network, whatever it is wrapped in."""
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner(ip)
        if inner is None:
            return ip in _V6_GLOBAL and ip.is_global and not any(ip in tunnel for tunnel in _V6_TUNNELS)
        ip = inner
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _V4_SPECIAL)
    return ip.is_global and not special


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside a mapped or translated IPv6 one."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


class CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves the name itself, refuses addresses that are not public, and connects to what it checked.

    One transport belongs to one endpoint: its pool knows connections by address, not by name.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, resolve: Resolve) -> None:
        self._inner = inner
        self._resolve = resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = await self._checked(host, port)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # the Host header among them still names the host
            stream=request.stream,
            # The certificate is still checked against the name.
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)

    async def _checked(self, host: str, port: int) -> str:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} cannot be resolved") from error
        if not addresses:
            raise httpx.ConnectError(f"{host} has no address")
        for address in addresses:
            if not is_public(address):
                raise ForbiddenAddress(
                    f"{host} is at {address}, which is not public; `allow_private: true` allows it"
                )
        return addresses[0]

    async def aclose(self) -> None:
        await self._inner.aclose()


class HttpClient:
    """A client over httpx: no redirects, no environment proxies, no cookies, no endless answers."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(attempt_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )
        self._attempt_seconds = attempt_seconds

    async def send(self, request: Request) -> Answer:
        try:
            # httpx bounds each read; a receiver that drips bytes is bounded by the whole attempt.
            async with asyncio.timeout(self._attempt_seconds):
                return await self._send(request)
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

    async def _send(self, request: Request) -> Answer:
        async with self._client.stream(
            request.method, request.url, content=request.body, headers=dict(request.headers)
        ) as response:
            self._client.cookies.clear()
            return Answer(
                status=response.status_code,
                headers={
                    name: response.headers[name] for name in _ANSWERED_HEADERS if name in response.headers
                },
                body=await _beginning(response, request.answer_bytes_max),
            )

    async def close(self) -> None:
        await self._client.aclose()


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
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    network = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, retries=0)
    return HttpClient(network if allow_private else CheckedTransport(network, resolve))


def check_url(url: str, place: str) -> None:
    """Raises ConfigError unless `url` is http or https with a host."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigError(f"{place}: {_said(error)}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{place}: a channel's url starts with https:// and names a host")
