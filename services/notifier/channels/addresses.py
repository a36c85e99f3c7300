"""Keeps requests out of our own network: an address is checked, and the connection is made to that very one.

Neither a name that changes its mind nor an odd spelling of 127.0.0.1 leads to a machine of ours.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
# Tunnels (Teredo, 6to4) lead wherever their far end likes.
_V6_TUNNELS = (ipaddress.IPv6Network("2001::/23"), ipaddress.IPv6Network("2002::/16"))
# Protocol assignments and the old 6to4 relays, which older versions of `ipaddress` call global.
_V4_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(OSError):
    """An address that is none of the public network, or a name that leads to one."""


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


class CheckedResolver(AbstractResolver):
    """Resolves names, and refuses one unless all its addresses are public; no others are connected to."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._found(host, port)
        for address in addresses:
            if not is_public(address):
                raise _forbidden(f"{host} is at {address}, which")
        return [_result(host, address, port) for address in addresses]

    async def _found(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise OSError(f"{host} cannot be resolved") from error
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses

    async def close(self) -> None:
        return


def public_socket(found: aiohttp.AddrInfoType) -> socket.socket:
    """A socket towards one address: the last look, which no address written into a url gets round."""
    family, kind, protocol, _, (address, *_) = found
    if not is_public(address):
        raise _forbidden(address)
    return socket.socket(family, kind, protocol)


def _forbidden(what: str) -> ForbiddenAddress:
    return ForbiddenAddress(f"{what} is not public; `allow_private: true` allows it")


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
