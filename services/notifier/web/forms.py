"""The inbox's forms: each changes one task and goes back to it."""

from collections.abc import Callable
from datetime import time, timedelta

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.notifier.contact import next_contact
from services.notifier.desk import Decide, Desk
from services.notifier.tasks import (
    OUTCOMES,
    Outcome,
    Task,
    acknowledge,
    assign,
    finish,
    reopen,
    snooze,
)
from services.notifier.web.access import check_same_site
from services.notifier.web.pages import Pages
from services.notifier.zones import instant_us, local_day, zone
from shared.errors import Conflict, Forbidden, InvalidInput

MORNING = time(9, 0)
HOUR_US = 3_600_000_000


def add_forms(made: APIRouter, pages: Pages, desk: Desk) -> None:
    """Taking, closing, snoozing, undoing and handing over; letting held calls go."""
    _add_outage_form(made, pages, desk)

    async def change(request: Request, task_id: str, decide: Callable[[str], Decide]) -> Response:
        """Changes the task and goes back to it; what cannot be done is said on the page itself."""
        check_same_site(request)
        viewer = await pages.access.viewer(request)
        try:
            await desk.change(task_id, decide(viewer.actor))
        except (Conflict, InvalidInput) as error:
            return await pages.show(request, task_id=task_id, error=error)
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/tasks/{task_id}{query}", status_code=303)

    @made.post("/tasks/{task_id}/acknowledge")
    async def take_call(request: Request, task_id: str) -> Response:
        return await change(
            request, task_id, lambda actor: lambda task, now_us: acknowledge(task, actor, now_us)
        )

    @made.post("/tasks/{task_id}/done")
    async def close(
        request: Request, task_id: str, outcome: str = Form(), note: str = Form(default="")
    ) -> Response:
        def decide(actor: str) -> Decide:
            return lambda task, now_us: finish(task, actor, _outcome(outcome), note.strip(), now_us)

        return await change(request, task_id, decide)

    @made.post("/tasks/{task_id}/snooze")
    async def put_off(
        request: Request, task_id: str, until: str = Form(), reason: str = Form(default="")
    ) -> Response:
        def decide(actor: str) -> Decide:
            return lambda task, now_us: snooze(task, actor, _until_us(until, task, now_us), reason, now_us)

        return await change(request, task_id, decide)

    @made.post("/tasks/{task_id}/reopen")
    async def undo(request: Request, task_id: str) -> Response:
        return await change(request, task_id, lambda actor: lambda task, now_us: reopen(task, actor, now_us))

    @made.post("/tasks/{task_id}/assign")
    async def hand_over(request: Request, task_id: str, owner: str = Form()) -> Response:
        def decide(actor: str) -> Decide:
            if not pages.knows(owner):
                raise InvalidInput(f"there is no CSM {owner[:40]!r}", code="unknown_csm")
            return lambda task, now_us: assign(task, actor, owner, now_us)

        return await change(request, task_id, decide)


def _add_outage_form(made: APIRouter, pages: Pages, desk: Desk) -> None:
    @made.post("/outages/release")
    async def release(request: Request, outage: str = Form()) -> Response:
        check_same_site(request)
        viewer = await pages.access.viewer(request)
        if viewer.role == "csm":
            raise Forbidden("held calls are released by a lead", code="not_lead")
        try:
            await desk.release(outage, viewer.actor)
        except Conflict as error:
            return await pages.show(request, error=error)
        return RedirectResponse("/", status_code=303)


def _outcome(value: str) -> Outcome:
    for outcome in OUTCOMES:
        if outcome == value:
            return outcome
    raise InvalidInput(f"{value[:40]!r} is no outcome", code="bad_outcome")


def _until_us(choice: str, task: Task, now_us: int) -> int:
    """`1h`, `3h`, or `tomorrow`: the next day's first moment at which the customer may be called."""
    if choice in ("1h", "3h"):
        return now_us + int(choice[0]) * HOUR_US
    if choice != "tomorrow":
        raise InvalidInput(f"{choice[:40]!r} is no time to snooze until", code="bad_until")
    customer_zone = zone(task.plan.contact.zone)
    tomorrow = local_day(now_us, customer_zone) + timedelta(days=1)
    midnight_us = instant_us(tomorrow, MORNING, customer_zone)
    span = next_contact(task.plan.contact, midnight_us)
    return max(midnight_us, span[0]) if span is not None else midnight_us
