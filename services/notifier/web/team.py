"""The team's page: who called how often, how soon, with which outcome, and how often a rule was wrong."""

from datetime import time, timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.notifier.messages import status
from services.notifier.parts import NotifierParts
from services.notifier.planning.zones import instant_us, local_day
from services.notifier.store import records
from services.notifier.tasks.figures import team_figures
from services.notifier.web import inbox
from services.notifier.web.frame import Frame

SPANS = (7, 14, 28)
SPAN = 14


class TeamPage:
    """Gathers the calls of some days and renders what they came to."""

    def __init__(self, parts: NotifierParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def show(self, request: Request) -> Response:
        """By the reader's own days."""
        reader = await self._frame.reader(request)
        asked = request.query_params.get("days", "")
        span = next((n for n in SPANS if str(n) == asked), SPAN)
        said, csms = reader.words, self._frame.config.csms
        last_on = local_day(self._parts.clock.now_us(), reader.zone)
        from_us = instant_us(last_on - timedelta(days=span - 1), time(), reader.zone)
        async with self._parts.database.read() as connection:
            calls = await records.calls_made(connection, from_us=from_us)
        figures = team_figures(calls, last_on=last_on, day_count=span, zone=reader.zone)
        outcomes: dict[str, str] = dict(status.outcomes(said))
        return self._frame.render(
            request,
            "team.html",
            said,
            viewer=reader.viewer,
            today=said.day(last_on, year=True),
            spans=SPANS,
            span=span,
            figures=figures,
            days=[(day.day, said.day(day), day.weekday() > 4) for day in figures.days],
            busiest=max((n for person in figures.people for n in person.per_day), default=1) or 1,
            people=[
                (inbox.owner_said(person.who, csms, said), person, said.span(person.wait_median_us))
                for person in figures.people
            ],
            outcomes=[(outcomes[outcome], n, outcome) for outcome, n in figures.outcomes],
            wait=said.span(figures.wait_median_us) if figures.wait_median_us is not None else "–",
        )


def add_team(made: APIRouter, page: TeamPage) -> None:
    """`/team`."""

    @made.get("/team")
    async def show_team(request: Request) -> Response:
        return await page.show(request)
