"""Keeps requests out of our own network: an address is checked, and the connection is made to that very one.

Neither a name that changes its mind nor an odd spelling of 127.0.0.1 leads to a machine of ours.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import httpx

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
# Tunnels (Teredo, 6to4) lead wherever their far end likes.
_V6_TUNNELS = (ipaddress.IPv6Network("2001::/23"), ipaddress.IPv6Network("2002::/16"))
# Protocol assignments and the old 6to4 relays, which older versions of `ipaddress` call global.
_V4_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
