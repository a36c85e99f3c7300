"""What every page stands in: templates, headers, the reader's language, and what is said when it fails."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.notifier.messages.words import Words, preferred, words
from services.notifier.planning.zones import zone
from services.notifier.web.access import Access, NotSignedIn, Viewer, address_of, check_same_site
from services.notifier.web.assets import asset_url
from services.notifier.web.faults import fault_said
from shared.config import LANGUAGES, Config
from shared.errors import Forbidden, InvalidInput, UsageTriggersError
from shared.http import status_of

LANGUAGE_COOKIE = "language"
SIGN_IN_PATH = "/sign-in"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "HX-Request, HX-Target",
}


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads a page, in which words, and by which clock."""

    viewer: Viewer
    words: Words
    zone: ZoneInfo


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The templates; a name that a page misses is an error, not an empty place."""
    return Environment(
        loader=PackageLoader("services.notifier.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Frame:
    """Finds out who reads, and renders."""

    def __init__(self, config: Config, access: Access, public_url: str | None = None) -> None:
        self.config = config
        self.access = access
        self.public_url = public_url

    async def reader(self, request: Request) -> Reader:
        """Raises NotSignedIn or Forbidden."""
        viewer = await self.access.viewer(request)
        return Reader(viewer=viewer, words=self.words_of(request, viewer), zone=self._zone(viewer))

    async def lead(self, request: Request) -> Reader:
        """A reader who leads. Raises Forbidden for a CSM."""
        reader = await self.reader(request)
        if not reader.viewer.leads:
            raise Forbidden("this is for leads", code="not_lead")
        return reader

    async def admin(self, request: Request) -> Reader:
        """A reader who looks after the service. Raises Forbidden for anybody else."""
        reader = await self.reader(request)
        if reader.viewer.role != "admin":
            raise Forbidden("this page is for admins", code="not_admin")
        return reader

    def words_of(self, request: Request, viewer: Viewer | None = None) -> Words:
        """In the language that the reader chose, else the CSM's, else the browser's."""
        chosen = request.cookies.get(LANGUAGE_COOKIE)
        if chosen in LANGUAGES:
            return words(chosen)
        csm = self.config.csms.get(viewer.csm or "") if viewer is not None else None
        if csm is not None:
            return words(csm.language)
        return words(preferred(request.headers.get("accept-language", "")))

    def render(
        self,
        request: Request,
        template: str,
        said: Words,
        *,
        status: int = 200,
        viewer: Viewer | None = None,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """A page, or a part of one."""
        html = (
            templates()
            .get_template(template)
            .render(
                say=said.say,
                count=said.count,
                language=said.language,
                languages=LANGUAGES,
                viewer=viewer,
                path=request.url.path,
                asset=asset_url,
                **values,
            )
        )
        return HTMLResponse(html, status_code=status, headers=HEADERS | (headers or {}))

    async def fault(self, request: Request, error: UsageTriggersError) -> Response:
        """What a reader sees of an error: the page that says so, or a line where a part was asked for."""
        said = self.words_of(request)
        return self.render(
            request,
            "fault_line.html" if is_part(request) else "fault.html",
            said,
            status=status_of(error),
            fault=fault_said(error, said),
        )

    def _zone(self, viewer: Viewer) -> ZoneInfo:
        csm = self.config.csms.get(viewer.csm or "")
        product = next(iter(self.config.products.values()), None)
        return zone(csm.time_zone if csm else product.time_zone if product else "UTC")


def is_part(request: Request, target: str | None = None) -> bool:
    """Whether htmx asks for a part of a page, and for this one."""
    if request.headers.get("hx-request") != "true":
        return False
    return target is None or request.headers.get("hx-target") == target


def local_path(text: str) -> str:
    """A path of ours to go on to; `/` for anything that could lead elsewhere."""
    parts = address_of(text)
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    if not is_ours or text.startswith("//") or "\\" in text or any(ord(c) < 32 for c in text):
        return "/"
    return text


def came_from(request: Request) -> str:
    """The page of ours that a request was sent from."""
    shown = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    parts = address_of(shown)
    if parts.netloc != request.headers.get("host"):
        return "/"
    return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def to_sign_in(request: Request) -> Response:
    """The way to the sign-in and back to where the reader is."""
    if is_part(request):
        query = urlencode({"next": came_from(request)})
        return Response(status_code=401, headers=HEADERS | {"HX-Redirect": f"{SIGN_IN_PATH}?{query}"})
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = urlencode({"next": path}) if path != "/" else ""
    return RedirectResponse(
        f"{SIGN_IN_PATH}?{query}" if query else SIGN_IN_PATH, status_code=303, headers=HEADERS
    )


ToSignIn = Callable[[Request], Awaitable[Response]]


def page_route(frame: Frame, ask: ToSignIn) -> type[APIRoute]:
    """Routes whose every form has to come from our own pages, and whose every error is a page.

    Here and not in each form, so that no form can forget it. `ask` answers a form that was sent when
    nobody was signed in any more.
    """

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def answered(request: Request) -> Response:
                is_form = request.method not in ("GET", "HEAD")
                try:
                    if is_form:
                        check_same_site(request, frame.public_url)
                    return await answer(request)
                except NotSignedIn:
                    return await ask(request) if is_form and not is_part(request) else to_sign_in(request)
                except UsageTriggersError as error:
                    return await frame.fault(request, error)
                except RequestValidationError as error:
                    field = str(error.errors()[0]["loc"][-1])
                    refused = InvalidInput(f"{field[:40]!r} is missing or cannot be used", code="bad_form")
                    return await frame.fault(request, refused)

            return answered

    return PageRoute
