"""The life of a call task, as a pure state machine: (task or none, change, now) to (task, what follows).

    open -> notified -> acknowledged -> done(outcome)
      any of them -> snoozed(until) -> open again
      any of them -> cancelled(resumed | retracted), by themselves
      open, notified -> expired

Here stand the task and what people do to it; what triggers and time do to it is in `turns`.
"""

from datetime import date
from typing import Literal, get_args

import msgspec

from services.notifier.planning.plans import Plan
from shared.errors import Conflict, InvalidInput
from shared.triggers import Trigger

State = Literal["open", "notified", "acknowledged", "snoozed", "done", "cancelled", "expired"]
Outcome = Literal[
    "reached", "no_answer", "legitimate_absence", "product_problem", "churn_risk", "false_alarm"
]
Announced = Literal["opened", "again", "escalated", "woken", "digest", "closed"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LIVE_STATES: tuple[State, ...] = ("open", "notified", "acknowledged", "snoozed")
UNTOUCHED_STATES: tuple[State, ...] = ("open", "notified")

SYSTEM = "system"
PEERS = "peers:"
"""Before the outage in a task's `held`: it waits for the days after a common cause, and says so."""

DAY = "day:"
"""Before a CSM's day in a task's `held`: it is still to be seen whether it is one of that day's calls."""

NOTE_CHARS_MAX = 4_000
SNOOZE_US_MAX = 92 * 86_400_000_000


class Raised(msgspec.Struct, frozen=True):
    """A trigger that this task stands for, and the usage day it is about."""

    id: str
    day: date


class Peers(msgspec.Struct, frozen=True):
    """So many like customers, of so many, stopped at the same cutoff: something common may be behind it."""

    stopped_count: int
    cohort_count: int


class Cooling(msgspec.Struct, frozen=True, kw_only=True):
    """Stops that came too soon after this task to be called at once: they are, if they still stand then."""

    trigger: Trigger
    raised: tuple[Raised, ...]
    until_us: int


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody is asked to do; `id` is that of the trigger that opened it, `trigger` the latest.

    `overflow`: it is beyond its owner's calls for the day, told of in a digest and not one by one.
    `returns_us`: when the customer came back by itself, before anybody had called.
    """

    id: str
    state: State
    trigger: Trigger
    raised: tuple[Raised, ...]
    plan: Plan
    opened_us: int
    updated_us: int
    closed_us: int | None = None
    owner: str | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str | None = None
    snoozed_until_us: int | None = None
    snooze_reason: str = ""
    escalated_us: int | None = None
    escalated_count: int = 0
    outcome: Outcome | None = None
    note: str = ""
    closed_by: str | None = None
    cancelled: Literal["resumed", "retracted"] | None = None
    held: str | None = None
    peers: Peers | None = None
    cooling: Cooling | None = None
    overflow: bool = False
    returns_us: tuple[int, ...] = ()
    unverified: bool = False

    @property
    def holder(self) -> Literal["outage", "peers", "day"] | None:
        """Why it does not go out yet; None where it may."""
        if self.held is None:
            return None
        return "peers" if self.held.startswith(PEERS) else "day" if self.held.startswith(DAY) else "outage"

    @property
    def product(self) -> str:
        return self.trigger.data.product

    @property
    def customer_id(self) -> str:
        return self.trigger.data.customer.id

    @property
    def rule(self) -> str:
        return self.trigger.data.rule

    @property
    def is_live(self) -> bool:
        return self.closed_us is None

    @property
    def wake_us(self) -> int | None:
        """When this task next changes by itself; None: never."""
        if not self.is_live:
            return self.cooling.until_us if self.cooling is not None else None
        if self.held is not None:
            return None
        if self.state == "snoozed":
            return self.snoozed_until_us
        return min((at for at in (self._expires_us, self.escalates_us) if at is not None), default=None)

    @property
    def escalates_us(self) -> int | None:
        """When the next one hears of it; None: never, or not any more."""
        if self.state not in UNTOUCHED_STATES or self.overflow:
            return None
        left = self.plan.times.escalate_us[self.escalated_count :]
        return left[0] if left else None

    @property
    def heard(self) -> tuple[str, ...]:
        """Who was told that nobody had taken it, in this order."""
        return tuple(step.to for step in self.plan.escalations[: self.escalated_count])

    @property
    def _expires_us(self) -> int | None:
        # Whoever has taken a call keeps it: it does not vanish from under a hand.
        return self.plan.times.expires_us if self.state in UNTOUCHED_STATES else None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit trail."""

    change: str
    actor: str = SYSTEM
    detail: str = ""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be told. Machines get facts alone, with the trigger's own id; people also get nudges.

    `to`: a CSM who is told though the task is not theirs. `from_us`: not before then.
    """

    kind: Announced
    trigger: Trigger
    to: str | None = None
    from_us: int | None = None
    to_people: bool = True
    to_machines: bool = True


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The task after a change and what follows; `task is` the old one where nothing changed.

    `withdraws`: whose messages must not go out any more if they have not yet; `held`: those that are held.
    `frees`: messages that were held may go out now.
    """

    task: Task
    notes: tuple[Note, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    withdraws: Literal["nothing", "held", "people", "all"] = "nothing"
    frees: bool = False


def notified(task: Task, channel: str, now_us: int) -> Step:
    """A channel has it; the first one counts."""
    if task.state != "open":
        return Step(task=task)
    return Step(
        task=altered(task, now_us, state="notified"), notes=(Note(change="notified", detail=channel),)
    )


def acknowledge(task: Task, actor: str, now_us: int) -> Step:
    """Somebody takes the call. Raises Conflict when it is closed, or in somebody else's hands."""
    _must_live(task)
    if task.state == "acknowledged" and task.acknowledged_by == actor:
        return Step(task=task)
    if task.state == "acknowledged":
        raise Conflict(f"{task.acknowledged_by} has already taken this call", code="already_taken")
    changed = altered(
        task,
        now_us,
        state="acknowledged",
        acknowledged_us=now_us,
        acknowledged_by=actor,
        snoozed_until_us=None,
        snooze_reason="",
    )
    return Step(task=changed, notes=(Note(change="acknowledged", actor=actor),))


def snooze(task: Task, actor: str, until_us: int, reason: str, now_us: int) -> Step:
    """Not now, but then. Raises Conflict when it is closed, InvalidInput for an instant out of reach."""
    _must_live(task)
    if not now_us < until_us <= now_us + SNOOZE_US_MAX:
        raise InvalidInput("a task is snoozed until a time to come, 92 days at the most", code="bad_until")
    _must_fit(reason)
    if task.state == "snoozed" and task.snoozed_until_us == until_us:
        return Step(task=task)
    changed = altered(task, now_us, state="snoozed", snoozed_until_us=until_us, snooze_reason=reason)
    return Step(task=changed, notes=(Note(change="snoozed", actor=actor, detail=reason),), withdraws="people")


def finish(task: Task, actor: str, outcome: Outcome, note: str, now_us: int) -> Step:
    """The call was made. Doing the same again changes nothing; another outcome is a Conflict."""
    _must_fit(note)
    if task.state == "done" and task.outcome == outcome and (task.note == note or not note):
        return Step(task=task)
    _must_live(task)
    changed = altered(
        task, now_us, state="done", outcome=outcome, note=note, closed_us=now_us, closed_by=actor, held=None
    )
    return Step(task=changed, notes=(Note(change="done", actor=actor, detail=outcome),), withdraws="all")


def reopen(task: Task, actor: str, now_us: int) -> Step:
    """Takes an outcome back (a slip of the hand); the task is acknowledged again by whoever did it."""
    if task.state == "acknowledged" and task.acknowledged_by == actor:
        return Step(task=task)
    if task.state != "done":
        raise Conflict(f"only an outcome can be undone, and {_said(task)}", code="not_done")
    # Stops noted under it since are part of it again.
    cooling = task.cooling
    changed = altered(
        task,
        now_us,
        trigger=cooling.trigger if cooling is not None else task.trigger,
        raised=(*task.raised, *cooling.raised) if cooling is not None else task.raised,
        cooling=None,
        state="acknowledged",
        outcome=None,
        closed_us=None,
        closed_by=None,
        acknowledged_us=task.acknowledged_us or now_us,
        acknowledged_by=actor,
    )
    return Step(task=changed, notes=(Note(change="reopened", actor=actor, detail=task.outcome or ""),))


def assign(task: Task, actor: str, owner: str, now_us: int) -> Step:
    """Hands the call to another CSM; who gets it decides whether to take it."""
    _must_live(task)
    if task.owner == owner:
        return Step(task=task)
    state: State = "notified" if task.state == "acknowledged" else task.state
    changed = altered(task, now_us, owner=owner, state=state, acknowledged_us=None, acknowledged_by=None)
    return Step(task=changed, notes=(Note(change="assigned", actor=actor, detail=owner),))


def altered(task: Task, now_us: int, **values: object) -> Task:
    """The task with other values, as of now."""
    return msgspec.structs.replace(task, updated_us=now_us, **values)


def _must_fit(text: str) -> None:
    if len(text) > NOTE_CHARS_MAX:
        raise InvalidInput(f"a note has {NOTE_CHARS_MAX} characters at the most", code="note_too_long")


def _must_live(task: Task) -> None:
    if not task.is_live:
        raise Conflict(f"nothing can be done any more: {_said(task)}", code="task_closed")


def _said(task: Task) -> str:
    match task.state:
        case "done":
            return f"this task was done by {task.closed_by} ({task.outcome})"
        case "cancelled" if task.cancelled == "resumed":
            return "the customer is using the product again"
        case "cancelled":
            return "the stop was taken back by a late event"
        case "expired":
            return "this task expired untouched"
        case _:
            return f"this task is {task.state}"
