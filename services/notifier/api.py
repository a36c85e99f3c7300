"""The HTTP API of tasks and deliveries; a key sees its own product alone."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import views
from services.notifier.delivery import sent
from services.notifier.delivery.sender import Sender
from services.notifier.delivery.sent import DeliveryFilter
from services.notifier.desk.actions import Decide, Desk
from services.notifier.parts import NotifierParts
from services.notifier.planning.zones import DAY_US
from services.notifier.store import board, reading
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.lifecycle import State, Task, acknowledge, finish, snooze
from services.notifier.views import (
    Acknowledge,
    AttemptView,
    DeliveryPage,
    Done,
    Replay,
    Replayed,
    Snooze,
    TaskDetail,
    TaskPage,
    TaskView,
)
from shared.auth import ApiKey, require
from shared.clock import to_us
from shared.errors import Conflict, InvalidInput, NotFound
from shared.http import ERROR_RESPONSES, ErrorBody

PAGE_MAX = 500
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorBody, "description": "The task is in a state in which this cannot be done."}
}


def router(parts: NotifierParts, desk: Desk, sender: Sender) -> APIRouter:
    """Everything under `/v1/tasks` and `/v1/deliveries`."""
    made = APIRouter(prefix="/v1", responses=ERROR_RESPONSES)
    _add_tasks(made, parts, desk)
    _add_deliveries(made, parts, sender)
    return made


def _add_tasks(made: APIRouter, parts: NotifierParts, desk: Desk) -> None:
    reads = Depends(require(parts.keys, "read"))
    changes = Depends(require(parts.keys, "customers"))

    @made.get("/tasks", tags=["tasks"], summary="Tasks, oldest first")
    async def list_tasks(
        key: ApiKey = reads,
        state: Annotated[list[State] | None, Query(description="Any of these; all where absent.")] = None,
        owner: Annotated[str | None, Query(description="A CSM's id; empty: nobody's.")] = None,
        customer_id: str | None = None,
        today: Annotated[
            bool, Query(description="What is open, and what was closed in the last 24 hours.")
        ] = False,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    ) -> TaskPage:
        now_us = parts.clock.now_us()
        wanted = TaskFilter(
            product=key.product,
            states=state or (),
            owner=owner,
            customer_id=customer_id,
            live_or_closed_from_us=now_us - DAY_US if today else None,
        )
        async with parts.database.read() as connection:
            found = await board.page(connection, wanted, count_max=limit + 1, after=_cursor(after))
        return TaskPage(
            tasks=[views.task_view(task) for task in found[:limit]], next=_next_task(found, limit)
        )

    @made.get("/tasks/{task_id}", tags=["tasks"], summary="A task with its trail and its deliveries")
    async def show_task(task_id: str, key: ApiKey = reads) -> TaskDetail:
        async with parts.database.read() as connection:
            task = await reading.task(connection, task_id)
            if task is None or task.product != key.product:
                raise NotFound(f"no task {task_id[:80]!r}")
            trail = await reading.history(connection, task_id)
            announced = await reading.deliveries_of(connection, task_id)
        return TaskDetail(
            **views.task_values(task),
            history=[views.change_view(line) for line in trail],
            deliveries=[views.delivery_view(delivery) for delivery in announced],
        )

    async def change(key: ApiKey, task_id: str, decide: Decide) -> TaskView:
        return views.task_view(await desk.change(task_id, decide, product=key.product))

    @made.post("/tasks/{task_id}/acknowledge", tags=["tasks"], responses=_CONFLICT, summary="Take a call")
    async def take_call(task_id: str, body: Acknowledge | None = None, key: ApiKey = changes) -> TaskView:
        by = _actor(key, body)
        return await change(key, task_id, lambda task, now_us: acknowledge(task, by, now_us))

    @made.post("/tasks/{task_id}/snooze", tags=["tasks"], responses=_CONFLICT, summary="Not now, but then")
    async def put_off(task_id: str, body: Snooze, key: ApiKey = changes) -> TaskView:
        by = _actor(key, body)
        until_us = to_us(body.until)
        return await change(
            key, task_id, lambda task, now_us: snooze(task, by, until_us, body.reason, now_us)
        )

    @made.post("/tasks/{task_id}/done", tags=["tasks"], responses=_CONFLICT, summary="The call was made")
    async def close(task_id: str, body: Done, key: ApiKey = changes) -> TaskView:
        by = _actor(key, body)
        return await change(
            key, task_id, lambda task, now_us: finish(task, by, body.outcome, body.note, now_us)
        )


def _add_deliveries(made: APIRouter, parts: NotifierParts, sender: Sender) -> None:
    reads = Depends(require(parts.keys, "read"))
    changes = Depends(require(parts.keys, "customers"))

    @made.get("/deliveries", tags=["deliveries"], summary="What went out, newest first")
    async def list_deliveries(
        key: ApiKey = reads,
        state: str | None = None,
        channel: str | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        after: str | None = None,
    ) -> DeliveryPage:
        wanted = DeliveryFilter(product=key.product, state=state, channel=channel)
        async with parts.database.read() as connection:
            found = await sent.deliveries(connection, wanted, count_max=limit + 1, after=_cursor(after))
        more = f"{found[limit - 1].created_us}.{found[limit - 1].id}" if len(found) > limit else None
        return DeliveryPage(deliveries=[views.delivery_view(d) for d in found[:limit]], next=more)

    @made.get("/deliveries/{delivery_id}/attempts", tags=["deliveries"], summary="Every attempt of one")
    async def list_attempts(delivery_id: str, key: ApiKey = reads) -> list[AttemptView]:
        async with parts.database.read() as connection:
            await _own(connection, key, delivery_id)
            found = await sent.attempts_of(connection, [delivery_id])
        return [views.attempt_view(attempt) for attempt in found[delivery_id]]

    @made.post(
        "/deliveries/{delivery_id}/replay",
        tags=["deliveries"],
        responses=_CONFLICT,
        summary="Send one again, under the same id",
    )
    async def replay_one(delivery_id: str, key: ApiKey = changes) -> Replayed:
        now_us = parts.clock.now_us()
        async with parts.database.begin() as connection:
            await _own(connection, key, delivery_id)
            wanted = DeliveryFilter(product=key.product)
            count = await sent.replay(connection, wanted, now_us=now_us, delivery_id=delivery_id)
        if not count:
            raise Conflict("the outage guard holds this delivery; release it there", code="held")
        sender.wake()
        return Replayed(replayed=count)

    @made.post("/deliveries/replay", tags=["deliveries"], summary="Send a range again, under the same ids")
    async def replay_many(body: Replay, key: ApiKey = changes) -> Replayed:
        wanted = DeliveryFilter(
            product=key.product,
            state=body.state,
            channel=body.channel,
            from_us=to_us(body.created_from) if body.created_from else None,
            to_us=to_us(body.created_to) if body.created_to else None,
        )
        async with parts.database.begin() as connection:
            count = await sent.replay(connection, wanted, now_us=parts.clock.now_us())
        sender.wake()
        return Replayed(replayed=count)


async def _own(connection: AsyncConnection, key: ApiKey, delivery_id: str) -> None:
    """Raises NotFound for a delivery that is none, or another product's."""
    found = await sent.delivery(connection, delivery_id)
    if found is None or found.product != key.product:
        raise NotFound(f"no delivery {delivery_id[:120]!r}")


def _actor(key: ApiKey, body: Acknowledge | None) -> str:
    return body.by if body is not None and body.by else f"key:{key.prefix}"


def _cursor(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    opened, dot, last_id = after.partition(".")
    if not (opened.isdecimal() and len(opened) < 19 and dot):
        raise InvalidInput("`after` is the `next` of the page before", code="bad_cursor")
    return int(opened), last_id


def _next_task(found: Sequence[Task], limit: int) -> str | None:
    return f"{found[limit - 1].opened_us}.{found[limit - 1].id}" if len(found) > limit else None
