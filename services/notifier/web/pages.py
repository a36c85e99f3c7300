"""The inbox's routes: the list with one task beside it, and the forms that change a task."""

from collections.abc import Mapping
from datetime import time, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Form
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.notifier import board, store
from services.notifier.board import TaskFilter
from services.notifier.guard import SILENCE
from services.notifier.parts import NotifierParts
from services.notifier.tasks import (
    Task,
)
from services.notifier.web import inbox
from services.notifier.web.access import CSM_COOKIE, Access, Viewer, check_same_site
from services.notifier.web.assets import asset_url
from services.notifier.web.calendar import Calendar, calendar_of
from services.notifier.words import Words, preferred, words
from services.notifier.zones import DAY_US, local_day, zone
from shared.config import LANGUAGES
from shared.errors import NotFound, UsageTriggersError
from shared.http import status_of

LANGUAGE_COOKIE = "language"
LIVE_TASKS_MAX = 10_000
DONE_TASKS_MAX = 100
CALENDAR_DAYS = 91
MORNING = time(9, 0)
HOUR_US = 3_600_000_000
EVERYBODY = "all"
NOBODY = "none"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Choice = tuple[str, str, int]
"""A value of the filter, its words, and how many tasks it shows."""


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


class Pages:
    """Gathers what a page shows and renders it."""

    def __init__(self, parts: NotifierParts, access: Access) -> None:
        self._parts = parts
        self._config = parts.config
        self.access = access

    def knows(self, csm: str) -> bool:
        """Whether the configuration has this CSM."""
        return csm in self._config.csms

    def words_of(self, request: Request, viewer: Viewer) -> Words:
        """In the language that the reader chose, else the CSM's, else the browser's."""
        chosen = request.cookies.get(LANGUAGE_COOKIE)
        if chosen in LANGUAGES:
            return words(chosen)
        csm = self._config.csms.get(viewer.csm or "")
        if csm is not None:
            return words(csm.language)
        return words(preferred(request.headers.get("accept-language", "")))

    async def show(
        self, request: Request, *, task_id: str | None = None, error: UsageTriggersError | None = None
    ) -> Response:
        """The list and, beside it, one task: the one asked for, else the first."""
        viewer = await self.access.viewer(request)
        said = self.words_of(request, viewer)
        now_us = self._parts.clock.now_us()
        who = request.query_params.get("who") or viewer.csm or EVERYBODY
        async with self._parts.database.read() as connection:
            live = await board.page(connection, self._whose(viewer, who), count_max=LIVE_TASKS_MAX)
            counts = await board.owners(connection, TaskFilter(is_live=True))
            done = await board.page(
                connection,
                TaskFilter(is_live=False, closed_from_us=now_us - DAY_US, whose=_csm(who)),
                count_max=DONE_TASKS_MAX,
                newest_first=True,
            )
            sections = inbox.sections(live, said, self._config.csms, now_us)
            shown_id = task_id or next((row.task.id for s in sections for row in s.rows), None)
            shown = await store.task(connection, shown_id) if shown_id is not None else None
            if task_id is not None and shown is None:
                raise NotFound("this task does not exist, or no longer")
            trail = await store.history(connection, shown.id) if shown else []
            sent = await store.deliveries_of(connection, shown.id) if shown else []
        return self._render(
            request,
            said,
            status=200 if error is None else status_of(error),
            viewer=viewer,
            sections=sections,
            live_count=len(live),
            done=[inbox.row_of(task, said, self._config.csms, now_us) for task in done],
            who=who,
            choices=self._choices(counts, said),
            card=inbox.card_of(shown, said, self._config.csms, now_us) if shown else None,
            calendar=await self._calendar(shown, said, now_us) if shown else None,
            trail=[inbox.trail_line(line, said, self._config.csms, now_us, shown) for line in trail],
            sent=[(delivery, inbox.delivery_said(delivery, said)) for delivery in sent],
            is_picked=task_id is not None,
            error=error,
            today=said.day(local_day(now_us, self._zone(viewer)), year=True),
        )

    def _whose(self, viewer: Viewer, who: str) -> TaskFilter:
        if who == NOBODY:
            return TaskFilter(is_live=True, owner="")
        return TaskFilter(is_live=True, whose=_csm(who))

    def _zone(self, viewer: Viewer) -> Any:
        csm = self._config.csms.get(viewer.csm or "")
        product = next(iter(self._config.products.values()), None)
        return zone(csm.time_zone if csm else product.time_zone if product else "UTC")

    def _choices(self, counts: Mapping[str | None, int], said: Words) -> list[Choice]:
        """Everybody, each CSM, and nobody where there are such calls."""
        ids = [*self._config.csms, *sorted(o for o in counts if o and o not in self._config.csms)]
        found = [(EVERYBODY, said.say("Everybody"), sum(counts.values()))]
        found += [
            (csm_id, inbox.owner_said(csm_id, self._config.csms, said), counts.get(csm_id, 0))
            for csm_id in ids
        ]
        if counts.get(None):
            found.append((NOBODY, said.say("Nobody's"), counts[None]))
        return found

    async def _calendar(self, task: Task, said: Words, now_us: int) -> Calendar | None:
        if self._parts.days_of is None or task.trigger.type == SILENCE:
            return None
        last_on = local_day(now_us, zone(task.plan.contact.zone))
        first_on = last_on - timedelta(days=CALENDAR_DAYS - 1)
        days = await self._parts.days_of(task.product, task.customer_id, first_on, last_on)
        return calendar_of(days, task.trigger.data.day, said)

    def _render(self, request: Request, said: Words, *, status: int = 200, **values: Any) -> Response:
        page = templates().get_template("inbox.html")
        back = {"who": values["who"]} if request.query_params.get("who") else {}
        html = page.render(
            say=said.say,
            count=said.count,
            language=said.language,
            languages=LANGUAGES,
            outcomes=inbox.outcomes(said),
            csms=self._config.csms,
            path=request.url.path,
            query=f"?{urlencode(back)}" if back else "",
            asset=asset_url,
            **values,
        )
        return HTMLResponse(html, status_code=status, headers=HEADERS)


def _csm(who: str) -> str | None:
    return None if who in (EVERYBODY, NOBODY) else who


def add_pages(made: APIRouter, pages: Pages) -> None:
    """The inbox, one task, and the reader's settings."""

    @made.get("/")
    async def show_inbox(request: Request) -> Response:
        return await pages.show(request)

    @made.get("/tasks/{task_id}")
    async def show_task(request: Request, task_id: str) -> Response:
        return await pages.show(request, task_id=task_id)

    @made.post("/settings")
    async def choose(
        request: Request, language: str = Form(default=""), csm: str | None = Form(default=None)
    ) -> Response:
        check_same_site(request)
        await pages.access.viewer(request)
        answer = RedirectResponse(_back(request), status_code=303)
        if language in LANGUAGES:
            answer.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, httponly=True, samesite="lax")
        if csm is not None:
            answer.set_cookie(CSM_COOKIE, csm, max_age=365 * 86400, httponly=True, samesite="lax")
        return answer


def _back(request: Request) -> str:
    """Where a settings form came from, if that was a page of ours."""
    referer = urlsplit(request.headers.get("referer", ""))
    is_ours = referer.netloc == request.headers.get("host") and referer.path.startswith("/")
    return referer.path if is_ours and not referer.path.startswith("//") else "/"
