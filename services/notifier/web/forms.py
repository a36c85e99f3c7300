"""The inbox's forms: each changes one task and shows it as it is then, on its page or in its place."""

from collections.abc import Callable
from datetime import time, timedelta

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.notifier.desk.actions import Decide, Desk
from services.notifier.planning.contact import next_contact
from services.notifier.planning.zones import instant_us, local_day, zone
from services.notifier.tasks.lifecycle import (
    OUTCOMES,
    Outcome,
    Step,
    Task,
    acknowledge,
    assign,
    finish,
    reopen,
    snooze,
)
from services.notifier.web.access import Viewer
from services.notifier.web.frame import HEADERS, is_part
from services.notifier.web.pages import Pages
from shared.errors import Conflict, Forbidden, InvalidInput, UsageTriggersError

MORNING = time(9, 0)
HOUR_US = 3_600_000_000


def add_forms(made: APIRouter, pages: Pages, desk: Desk) -> None:
    """Taking, closing, snoozing, undoing and handing over; letting held calls go."""
    _add_outage_form(made, pages, desk)

    async def change(request: Request, task_id: str, decide: Callable[[str], Decide]) -> Response:
        """Changes the task and shows it; what cannot be done is said there, and nothing typed is lost."""
        reader = await pages.frame.reader(request)
        fault: UsageTriggersError | None = None
        try:
            await desk.change(task_id, _allowed(reader.viewer, decide(reader.viewer.actor)))
        except (Conflict, InvalidInput, Forbidden) as error:
            fault = error
        if is_part(request):
            return await pages.card(request, reader, task_id, fault=fault, is_changed=fault is None)
        if fault is not None:
            return await pages.show(request, task_id=task_id, fault=fault)
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/tasks/{task_id}{query}", status_code=303, headers=HEADERS)

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
            return lambda task, now_us: snooze(
                task, actor, _until_us(until, task, now_us), reason.strip(), now_us
            )

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


def _allowed(viewer: Viewer, decide: Decide) -> Decide:
    """The change, where the viewer may make it: judged on the task as it is when it is changed."""

    def decided(task: Task, now_us: int) -> Step:
        if not viewer.may_act_on(task):
            raise Forbidden(f"this call is {task.owner}'s; a lead can hand it over", code="not_yours")
        return decide(task, now_us)

    return decided


def _add_outage_form(made: APIRouter, pages: Pages, desk: Desk) -> None:
    @made.post("/outages/release")
    async def release(request: Request, outage: str = Form()) -> Response:
        reader = await pages.frame.lead(request)
        await desk.release(outage, reader.viewer.actor)
        if is_part(request):
            return Response(status_code=204, headers=HEADERS | {"HX-Refresh": "true"})
        return RedirectResponse("/", status_code=303, headers=HEADERS)


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
