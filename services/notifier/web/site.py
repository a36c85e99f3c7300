"""Puts the inbox's routes together."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.notifier.desk.actions import Desk
from services.notifier.parts import NotifierParts
from services.notifier.store import board
from services.notifier.web.access import Access
from services.notifier.web.assets import add_assets
from services.notifier.web.customer import CustomerPage, add_customer
from services.notifier.web.entrance import Entrance
from services.notifier.web.forms import add_forms
from services.notifier.web.frame import Frame, page_route, to_sign_in
from services.notifier.web.live import GAP_SECONDS, Pulse, add_live
from services.notifier.web.operation import Operation, add_operation
from services.notifier.web.pages import Pages, add_pages
from services.notifier.web.sign_in import SignIn, add_sign_in
from services.notifier.web.team import TeamPage, add_team


class Site:
    """The pages under `/`, their forms, their sign-in and their assets."""

    def __init__(
        self,
        parts: NotifierParts,
        desk: Desk,
        access: Access,
        on_news: Callable[[], None],
        *,
        gap_seconds: float = GAP_SECONDS,
    ) -> None:
        async def version() -> str:
            async with parts.database.read() as connection:
                return await board.version(connection)

        self.pulse = Pulse(version, gap_seconds=gap_seconds)
        frame = Frame(parts.config, access, parts.public_url)
        sign_in = SignIn(frame, access) if isinstance(access, Entrance) else None
        self.router = APIRouter(
            include_in_schema=False, route_class=page_route(frame, sign_in.ask if sign_in else _lead_back)
        )
        pages = Pages(parts, frame)
        add_pages(self.router, pages)
        add_forms(self.router, pages, desk)
        add_customer(self.router, CustomerPage(parts, frame))
        add_team(self.router, TeamPage(parts, frame))
        add_operation(self.router, Operation(parts, frame), desk, on_news)
        add_live(self.router, frame, self.pulse)
        if sign_in is not None:
            add_sign_in(self.router, sign_in)
        add_assets(self.router)


async def _lead_back(request: Request) -> Response:
    return to_sign_in(request)
