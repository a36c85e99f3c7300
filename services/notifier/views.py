"""Tasks and deliveries as the HTTP API shows them."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.notifier.delivery.outgoing import Attempt
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.ledger import HistoryLine
from services.notifier.tasks.lifecycle import Outcome, State, Task
from shared.clock import rfc3339


def _as_text(value: object) -> object:
    # Left alone, pydantic takes a number for seconds since 1970, or for milliseconds.
    if isinstance(value, int | float):
        raise ValueError("an instant is text such as 2026-03-03T10:00:00+09:00")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_as_text, json_schema_input_type=AwareDatetime)]


class View(BaseModel):
    """What is sent; frozen."""

    model_config = ConfigDict(frozen=True)


class TaskView(View):
    """A call task. Instants are RFC 3339 in UTC; `trigger` is the latest one, exactly as published."""

    id: str
    state: State
    product: str
    customer_id: str
    customer_name: str | None
    rule: str
    kind: str
    title: dict[str, str]
    owner: str | None
    escalated_to: str | None
    day: str
    opened_at: str
    notify_at: str = Field(
        description="When it is, or was, handed out: call window and working hours are open."
    )
    due_at: str | None = Field(description="When that window closes.")
    expires_at: str | None
    contact_window: str | None
    time_zone: str
    surprise: float | None
    acknowledged_by: str | None
    acknowledged_at: str | None
    snoozed_until: str | None
    snooze_reason: str
    outcome: Outcome | None
    note: str
    closed_at: str | None
    closed_by: str | None
    cancelled: Literal["resumed", "retracted"] | None
    unverified: bool
    overflow: bool = Field(description="Beyond its owner's calls for the day: told of in a digest alone.")
    held: Literal["outage", "peers", "day"] | None = Field(
        description="Why it waits: the product may be down, many like customers stopped with it, or it is yet"
        " to be seen whether it is one of its owner's calls for the day."
    )
    cooling_until: str | None = Field(
        description="The customer stopped again too soon after this task; it is called then if still silent."
    )
    problems: list[str]
    trigger: dict[str, Any]


class ChangeView(View):
    """A line of the audit trail."""

    at: str
    actor: str
    change: str
    detail: str


class DeliveryView(View):
    """One announcement on its way to one channel."""

    id: str
    trigger_id: str
    task_id: str
    customer_id: str
    channel: str
    kind: str
    state: str
    attempt_count: int
    created_at: str
    next_attempt_at: str | None
    delivered_at: str | None
    last_error: str


class AttemptView(View):
    """One attempt of a delivery."""

    at: str
    result: str
    detail: str
    took_ms: float


class TaskDetail(TaskView):
    """A task with its trail and its deliveries."""

    history: list[ChangeView]
    deliveries: list[DeliveryView]


class TaskPage(View):
    """`next` is what to send as `after` for the following page; null at the end."""

    tasks: list[TaskView]
    next: str | None


class DeliveryPage(View):
    """As TaskPage; newest first."""

    deliveries: list[DeliveryView]
    next: str | None


class Acknowledge(BaseModel):
    """Who takes the call; the key's name where nobody is named."""

    model_config = ConfigDict(extra="forbid")
    by: str | None = Field(default=None, max_length=100)


class Snooze(Acknowledge):
    """Not now, but then."""

    until: Instant = Field(description="With an offset, such as 2026-03-03T10:00:00+09:00.")
    reason: str = Field(default="", max_length=1000)


class Done(Acknowledge):
    """The call was made."""

    outcome: Outcome
    note: str = Field(default="", max_length=4000)


class Replay(BaseModel):
    """Which deliveries are sent again; without `state`, those that were given up."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    channel: str | None = None
    state: Literal["dead", "delivered", "pending"] | None = None
    created_from: Instant | None = Field(default=None, alias="from")
    created_to: Instant | None = Field(default=None, alias="to")


class Replayed(View):
    """How many are on their way again."""

    replayed: int


def _at(us: int | None) -> str | None:
    return None if us is None else rfc3339(us)


def task_values(task: Task) -> dict[str, Any]:
    """The fields of a TaskView."""
    data, plan = task.trigger.data, task.plan
    return {
        "id": task.id,
        "state": task.state,
        "product": task.product,
        "customer_id": task.customer_id,
        "customer_name": data.customer.name,
        "rule": task.rule,
        "kind": plan.kind,
        "title": plan.title,
        "owner": task.owner,
        "escalated_to": task.heard[-1] if task.heard else None,
        "day": data.day.isoformat(),
        "opened_at": rfc3339(task.opened_us),
        "notify_at": rfc3339(plan.times.notify_us),
        "due_at": _at(plan.times.due_us),
        "expires_at": _at(plan.times.expires_us),
        "contact_window": plan.contact.window,
        "time_zone": plan.contact.zone,
        "surprise": data.surprise,
        "acknowledged_by": task.acknowledged_by,
        "acknowledged_at": _at(task.acknowledged_us),
        "snoozed_until": _at(task.snoozed_until_us),
        "snooze_reason": task.snooze_reason,
        "outcome": task.outcome,
        "note": task.note,
        "closed_at": _at(task.closed_us),
        "closed_by": task.closed_by,
        "cancelled": task.cancelled,
        "unverified": task.unverified,
        "held": task.holder,
        "overflow": task.overflow,
        "cooling_until": _at(task.cooling.until_us if task.cooling is not None else None),
        "problems": list(plan.problems),
        "trigger": msgspec.to_builtins(task.trigger),
    }


def task_view(task: Task) -> TaskView:
    """A task as the API shows it."""
    return TaskView(**task_values(task))


def change_view(line: HistoryLine) -> ChangeView:
    """A line of the trail as the API shows it."""
    return ChangeView(
        at=rfc3339(line.at_us), actor=line.note.actor, change=line.note.change, detail=line.note.detail
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A delivery as the API shows it."""
    return DeliveryView(
        id=delivery.id,
        trigger_id=delivery.trigger_id,
        task_id=delivery.task_id,
        customer_id=delivery.customer_id,
        channel=delivery.channel,
        kind=delivery.kind,
        state=delivery.state,
        attempt_count=delivery.attempt_count,
        created_at=rfc3339(delivery.created_us),
        next_attempt_at=_at(delivery.next_attempt_us),
        delivered_at=_at(delivery.delivered_us),
        last_error=delivery.last_error,
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    """An attempt as the API shows it."""
    return AttemptView(
        at=rfc3339(attempt.at_us),
        result=attempt.result,
        detail=attempt.detail,
        took_ms=attempt.took_us / 1000,
    )
