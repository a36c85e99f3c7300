"""Who is looking at a page, what they may do there, and whether a form was sent from one of ours."""

import ipaddress
from typing import Literal, Protocol, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec
from starlette.requests import Request

from services.notifier.tasks.lifecycle import Task
from shared.errors import Forbidden, Unauthorized

Role = Literal["csm", "lead", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


class NotSignedIn(Unauthorized):
    """Nobody is signed in, or not any more; the page leads to the sign-in and back."""

    code = "not_signed_in"


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """A person at a page. `csm` is the id under which calls are theirs.

    `is_signed_in` is False for the one person of a server that listens to its own machine alone.
    """

    name: str
    role: Role = "csm"
    csm: str | None = None
    is_signed_in: bool = False

    @property
    def actor(self) -> str:
        """How the audit trail names them."""
        return self.csm or self.name

    @property
    def leads(self) -> bool:
        """Whether they act on everybody's calls."""
        return self.role != "csm"

    def may_act_on(self, task: Task) -> bool:
        """A CSM acts on what is theirs, on what has come to them, and on what is nobody's."""
        if self.leads or task.owner is None:
            return True
        return self.actor in (task.owner, task.acknowledged_by, *task.heard)


class Access(Protocol):
    """Tells who is looking. Raises NotSignedIn or Forbidden."""

    async def viewer(self, request: Request) -> Viewer: ...


class LocalAccess:
    """One person without a password: for a server that listens on this machine alone.

    The name in the Host header must be this machine's too; else a page elsewhere could point its own
    name here and read everything. So must be the other end of the connection.
    """

    async def viewer(self, request: Request) -> Viewer:
        host = address_of(f"//{request.headers.get('host', '')}").hostname or ""
        peer = request.client.host if request.client is not None else ""
        if not (is_loopback(host) and is_loopback(peer)):
            raise Forbidden("without sign-in the inbox is shown to this machine alone", code="not_local")
        return Viewer(name="local", role="admin")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(text: str) -> SplitResult:
    """The parts of an address that somebody sent; without any where it is none."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def check_same_site(request: Request, public_url: str | None = None) -> None:
    """Raises Forbidden for a form that another site sent in the reader's name.

    Every browser says where a POST comes from; who says nothing is no browser, and no reader either.
    Behind a proxy that changes the Host header, `public_url` is where our own forms come from.
    """
    origin = request.headers.get("origin", "")
    ours = {request.headers.get("host", ""), urlsplit(public_url or "").netloc}
    if origin and address_of(origin).netloc in ours - {""}:
        return
    if not origin and request.headers.get("sec-fetch-site") == "same-origin":
        return
    raise Forbidden("this form was not sent from the inbox itself; reload the page", code="cross_site")
