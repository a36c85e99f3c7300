"""The inbox's pages: the list with one task beside it, each of them also alone, as htmx asks for them."""

from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Form
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.notifier.messages import status, wording
from services.notifier.messages.words import Words
from services.notifier.parts import NotifierParts
from services.notifier.planning.listing import Part, helping, parts_of
from services.notifier.planning.zones import instant_us, local_day, zone
from services.notifier.store import board, reading
from services.notifier.store.board import TaskFilter
from services.notifier.store.rows import contact_text
from services.notifier.tasks.lifecycle import Task
from services.notifier.web import inbox
from services.notifier.web.access import Viewer
from services.notifier.web.calendar import Calendar, calendar_of
from services.notifier.web.faults import fault_said
from services.notifier.web.frame import HEADERS, LANGUAGE_COOKIE, Frame, Reader, came_from, is_part
from shared.config import LANGUAGES
from shared.errors import NotFound, UsageTriggersError
from shared.http import status_of

ROWS_SHOWN = 50
ROWS_OF_EACH = 5
"""Of a part that comes after so many rows that there is no room for it."""

ROWS_MORE = 100
ROWS_MAX = 1_000
DONE_ROWS_MAX = 20
SILENT_TOO_MAX = 5
CALENDAR_DAYS = 91
COOKIE_SECONDS = 365 * 86_400

MINE, TEAM, NOBODY, DONE = "mine", "all", "none", "done"

Choice = tuple[str, str, int]
"""A value of the filter, its words, and how many tasks it shows."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list under its own heading; `count` tasks, of which the first are shown."""

    key: str
    title: str
    rows: tuple[inbox.Row, ...]
    count: int


class Pages:
    """Gathers what a page shows and renders it."""

    def __init__(self, parts: NotifierParts, frame: Frame) -> None:
        self._parts = parts
        self._config = parts.config
        self.frame = frame

    def knows(self, csm: str) -> bool:
        """Whether the configuration has this CSM."""
        return csm in self._config.csms

    async def show(
        self, request: Request, *, task_id: str | None = None, fault: UsageTriggersError | None = None
    ) -> Response:
        """The list and, beside it, one task: the one asked for, else the first. Or only one of the two."""
        reader = await self.frame.reader(request)
        if is_part(request, "card") and task_id is not None:
            return await self.card(request, reader, task_id)
        now_us = self._parts.clock.now_us()
        async with self._parts.database.read() as connection:
            version = await board.version(connection)
            sections = await self._sections(connection, request, reader, now_us)
            choices = await self._choices(connection, reader)
            first_id = next((row.task.id for section in sections for row in section.rows), None)
        shown_id = task_id or first_id
        about = {} if is_part(request, "list") else await self._about(request, reader, shown_id, now_us)
        if task_id is not None and about and about["card"] is None:
            raise NotFound("this task does not exist, or no longer")
        return self.frame.render(
            request,
            "list.html" if is_part(request, "list") else "inbox.html",
            reader.words,
            status=200 if fault is None else status_of(fault),
            viewer=reader.viewer,
            **self._common(request, reader),
            version=version,
            sections=sections,
            shown_count=sum(len(section.rows) for section in sections),
            total_count=sum(section.count for section in sections),
            rows_more=min(ROWS_MAX, _rows(request) + ROWS_MORE),
            shown_id=_current_id(request) if is_part(request, "list") else shown_id,
            choices=choices,
            is_picked=task_id is not None,
            today=reader.words.day(local_day(now_us, reader.zone), year=True),
            **{**about, **self._said(fault, reader)},
        )

    async def card(
        self,
        request: Request,
        reader: Reader,
        task_id: str,
        *,
        fault: UsageTriggersError | None = None,
        is_changed: bool = False,
    ) -> Response:
        """One task alone; 204 where the reader has it as it is. Raises NotFound."""
        about = await self._about(request, reader, task_id, self._parts.clock.now_us())
        card = about["card"]
        if card is None:
            raise NotFound("this task does not exist, or no longer")
        if not fault and request.query_params.get("seen") == about["seen"]:
            return Response(status_code=204, headers=HEADERS)
        return self.frame.render(
            request,
            "card.html",
            reader.words,
            status=200 if fault is None else status_of(fault),
            viewer=reader.viewer,
            # Whoever changes something sees the list follow, whether or not the live connection stands.
            headers={"HX-Trigger": "tasks-changed"} if is_changed else {},
            **self._common(request, reader),
            **{**about, **self._said(fault, reader)},
        )

    def _common(self, request: Request, reader: Reader) -> dict[str, Any]:
        who, rows = self._who(request, reader.viewer), _rows(request)
        kept = {"who": who} if "who" in request.query_params else {}
        if rows != ROWS_SHOWN:
            kept["rows"] = str(rows)
        return {
            "who": who,
            "rows": rows,
            "query": f"?{urlencode(kept)}" if kept else "",
            "outcomes": status.outcomes(reader.words),
            "csms": self._config.csms,
        }

    # The list

    async def _sections(
        self, connection: AsyncConnection, request: Request, reader: Reader, now_us: int
    ) -> tuple[Section, ...]:
        who = self._who(request, reader.viewer)
        wanted = _whose(who, reader.viewer)
        midnight_us = instant_us(local_day(now_us, reader.zone), time(), reader.zone)
        done = msgspec.structs.replace(wanted, is_live=False, closed_from_us=midnight_us)
        if who == DONE:
            return await self._closed(connection, done, reader, now_us, _rows(request))
        found, left = [], _rows(request)
        parts = parts_of(
            await board.groups(connection, msgspec.structs.replace(wanted, is_live=True)), now_us
        )
        for part in parts:
            rows = await self._rows_of(connection, wanted, part, max(ROWS_OF_EACH, left))
            left -= len(rows)
            found.append(self._section(part.key, part.count, rows, reader.words, now_us))
        return (*found, *await self._closed(connection, done, reader, now_us, DONE_ROWS_MAX))

    async def _rows_of(
        self, connection: AsyncConnection, wanted: TaskFilter, part: Part, rows_max: int
    ) -> list[Task]:
        """The first tasks of a part, stack by stack."""
        share = helping(part, rows_max)
        place = {text: i for i, stack in enumerate(share.whole) for text in stack.contact_texts}
        tasks: list[Task] = []
        if place:
            found = await board.surprising(
                connection, wanted, part.waiting, place, count_max=share.whole_count
            )
            tasks = sorted(found, key=lambda task: place[contact_text(task.plan.contact)])
        if share.top_of is not None:
            texts = share.top_of.contact_texts
            tasks += await board.surprising(
                connection, wanted, part.waiting, texts, count_max=share.top_count
            )
        return tasks

    async def _closed(
        self, connection: AsyncConnection, done: TaskFilter, reader: Reader, now_us: int, rows_max: int
    ) -> tuple[Section, ...]:
        total = await board.count(connection, done)
        if not total:
            return ()
        tasks = await board.last_closed(connection, done, count_max=rows_max)
        return (self._section("done", total, tasks, reader.words, now_us),)

    def _section(self, key: str, count: int, tasks: Sequence[Task], words: Words, now_us: int) -> Section:
        rows = tuple(inbox.row_of(task, words, self._config.csms, now_us) for task in tasks)
        return Section(key=key, title=_title(key, words), rows=rows, count=count)

    def _who(self, request: Request, viewer: Viewer) -> str:
        return request.query_params.get("who") or (MINE if viewer.csm else TEAM)

    async def _choices(self, connection: AsyncConnection, reader: Reader) -> list[Choice]:
        """Mine, everybody's, nobody's where there are such calls, done today, and each colleague's."""
        counts = await board.owners(connection, TaskFilter(is_live=True))
        said, csm = reader.words, reader.viewer.csm
        found = [(MINE, said.say("Mine"), counts.get(csm, 0))] if csm else []
        found.append((TEAM, said.say("Team"), sum(counts.values())))
        if counts.get(None):
            found.append((NOBODY, said.say("Nobody's"), counts[None]))
        found.append((DONE, said.say("Done today"), 0))
        ids = [*self._config.csms, *sorted(o for o in counts if o and o not in self._config.csms)]
        return found + [
            (other, inbox.owner_said(other, self._config.csms, said), counts.get(other, 0))
            for other in ids
            if other != csm
        ]

    # One task

    async def _about(
        self, request: Request, reader: Reader, task_id: str | None, now_us: int
    ) -> dict[str, Any]:
        """Everything that a card shows; `card` is None where there is no such task."""
        async with self._parts.database.read() as connection:
            task = await reading.task(connection, task_id) if task_id is not None else None
            if task is None:
                return {"card": None}
            trail = await reading.history(connection, task.id)
            sent = await reading.deliveries_of(connection, task.id)
            silent_count, silent = await board.silent_too(connection, task, count_max=SILENT_TOO_MAX)
        said, csms = reader.words, self._config.csms
        return {
            # Every change leaves a line in the trail, but for calls that the outage guard lets go at once.
            "seen": f"{task.updated_us}.{len(trail)}",
            "card": inbox.card_of(task, said, csms, now_us),
            "calendar": await self._calendar(task, said, now_us),
            "trail": [inbox.trail_line(line, said, csms, now_us, task) for line in trail],
            "sent": [(delivery, inbox.delivery_said(delivery, said)) for delivery in sent],
            "silent_too": inbox.silent_said(silent_count, silent, said),
            "may_act": reader.viewer.may_act_on(task),
        }

    def _said(self, fault: UsageTriggersError | None, reader: Reader) -> dict[str, str]:
        return {"fault": fault_said(fault, reader.words) if fault is not None else ""}

    async def _calendar(self, task: Task, said: Words, now_us: int) -> Calendar | None:
        if self._parts.days_of is None or wording.is_notice(task):
            return None
        last_on = local_day(now_us, zone(task.plan.contact.zone))
        first_on = last_on - timedelta(days=CALENDAR_DAYS - 1)
        days = await self._parts.days_of(task.product, task.customer_id, first_on, last_on)
        return calendar_of(days, task.trigger.data.day, said)


def _whose(who: str, viewer: Viewer) -> TaskFilter:
    if who == NOBODY:
        return TaskFilter(owner="")
    if who in (TEAM, DONE):
        return TaskFilter()
    return TaskFilter(whose=viewer.csm if who == MINE else who)


def _rows(request: Request) -> int:
    """How many rows are shown; more are asked for by the page itself."""
    text = request.query_params.get("rows", "")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return ROWS_SHOWN
    return min(ROWS_MAX, max(ROWS_SHOWN, int(text)))


def _current_id(request: Request) -> str:
    """The task that is read beside a list which is refreshed."""
    path = came_from(request).partition("?")[0]
    return path.removeprefix("/tasks/") if path.startswith("/tasks/") else ""


def _title(key: str, words: Words) -> str:
    titles: Mapping[str, str] = {
        "now": words.say("Call now"),
        "held": words.say("Held: the product may be down"),
        "peers": words.say("Waiting: many fell silent at once"),
        "later": words.say("Later today"),
        "days": words.say("On another day"),
        "snoozed": words.say("Snoozed"),
        "done": words.say("Closed today"),
    }
    return titles[key]


def add_pages(made: APIRouter, pages: Pages) -> None:
    """The inbox, one task, and the reader's settings."""

    @made.get("/")
    async def show_inbox(request: Request) -> Response:
        return await pages.show(request)

    @made.get("/tasks/{task_id}")
    async def show_task(request: Request, task_id: str) -> Response:
        return await pages.show(request, task_id=task_id)

    @made.post("/settings")
    async def choose(request: Request, language: str = Form(default="")) -> Response:
        # Also at the sign-in, where nobody is known yet: it is this browser's alone.
        answer = RedirectResponse(came_from(request), status_code=303, headers=HEADERS)
        if language in LANGUAGES:
            answer.set_cookie(
                LANGUAGE_COOKIE, language, max_age=COOKIE_SECONDS, httponly=True, samesite="lax"
            )
        return answer
