"""Who is looking at a page, and whether a form was sent from one of ours."""

import ipaddress
from typing import Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request

from shared.errors import Forbidden

Role = Literal["csm", "lead", "admin"]


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """A person at a page. `csm` is the id under which calls are theirs; `products` None: all."""

    name: str
    role: Role = "csm"
    csm: str | None = None
    products: frozenset[str] | None = None

    @property
    def actor(self) -> str:
        """How the audit trail names them."""
        return self.csm or self.name


class Access(Protocol):
    """Tells who is looking. Raises Unauthorized or Forbidden."""

    async def viewer(self, request: Request) -> Viewer: ...


CSM_COOKIE = "csm"


class LocalAccess:
    """One person without a password: for a server that listens on this machine alone.

    The name in the Host header must be this machine's too; else a page elsewhere could point its own
    name here and read everything.
    """

    def __init__(self, csms: frozenset[str]) -> None:
        self._csms = csms

    async def viewer(self, request: Request) -> Viewer:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if not is_loopback(host):
            raise Forbidden("without sign-in the inbox is shown to this machine alone", code="not_local")
        chosen = request.cookies.get(CSM_COOKIE, "")
        return Viewer(name="local", role="admin", csm=chosen if chosen in self._csms else None)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_same_site(request: Request) -> None:
    """Raises Forbidden for a form that another site sent in the reader's name.

    Every browser says where a POST comes from; who says nothing is no browser, and no reader either.
    """
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc == request.headers.get("host"):
        return
    if not origin and request.headers.get("sec-fetch-site") == "same-origin":
        return
    raise Forbidden("this form was not sent from the inbox itself; reload the page", code="cross_site")
