"""The life of a call task, as a pure state machine: (task or none, change, now) to (task, what follows).

    open -> notified -> acknowledged -> done(outcome)
      any of them -> snoozed(until) -> open again
      any of them -> cancelled(resumed | retracted), by themselves
      open, notified -> expired

One open task per customer, rule and type of trigger; a second trigger updates it.
"""

from datetime import date
from typing import Literal, get_args

import msgspec

from shared.errors import Conflict, InvalidInput
from shared.triggers import RESUMED, Trigger

State = Literal["open", "notified", "acknowledged", "snoozed", "done", "cancelled", "expired"]
Outcome = Literal[
    "reached", "no_answer", "legitimate_absence", "product_problem", "churn_risk", "false_alarm"
]
Announced = Literal["opened", "again", "escalated", "woken", "unverified", "closed"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LIVE_STATES: tuple[State, ...] = ("open", "notified", "acknowledged", "snoozed")
UNTOUCHED_STATES: tuple[State, ...] = ("open", "notified")

SYSTEM = "system"
NOTE_CHARS_MAX = 4_000
SNOOZE_US_MAX = 92 * 86_400_000_000


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """When the customer may be called and when its CSM works; None means at any time."""

    zone: str
    day_starts_at: str = "00:00"
    window: str | None = None
    hours: str | None = None
    hours_zone: str | None = None
    days_off: tuple[int, ...] = ()


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """When the task goes out, when the call window closes, and when nobody needs it any more."""

    notify_us: int
    due_us: int | None
    expires_us: int | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What routing decided for one trigger. `problems` are codes shown to operator and CSM."""

    kind: str
    title: dict[str, str]
    owner: str | None
    channels: tuple[str, ...]
    contact: Contact
    lifetime_us: int | Literal["end_of_day"] | None
    times: Times
    escalate_after_us: int | None = None
    escalate_to: str | None = None
    problems: tuple[str, ...] = ()


class Raised(msgspec.Struct, frozen=True):
    """A trigger that this task stands for, and the usage day it is about."""

    id: str
    day: date


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody is asked to do; `id` is that of the trigger that opened it, `trigger` the latest."""

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
    outcome: Outcome | None = None
    note: str = ""
    closed_by: str | None = None
    cancelled: Literal["resumed", "retracted"] | None = None
    held: str | None = None
    unverified: bool = False

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
        if not self.is_live or self.held is not None:
            return None
        if self.state == "snoozed":
            return self.snoozed_until_us
        return min((at for at in (self._expires_us, self.escalates_us) if at is not None), default=None)

    @property
    def escalates_us(self) -> int | None:
        """When somebody else hears of it; None: never, or not any more."""
        if self.state not in UNTOUCHED_STATES or self.escalated_us is not None:
            return None
        if self.plan.escalate_after_us is None or self.plan.escalate_to is None:
            return None
        return self.plan.times.notify_us + self.plan.escalate_after_us

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
    """Something to be told. Machines get facts alone, with the trigger's own id; people also get nudges."""

    kind: Announced
    trigger: Trigger
    to_people: bool = True
    to_machines: bool = True


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The task after a change and what follows; `task is` the old one where nothing changed.

    `withdraws`: whose messages must not go out any more if they have not yet. `frees`: messages that
    were held may go out now.
    """

    task: Task
    notes: tuple[Note, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    withdraws: Literal["nothing", "people", "all"] = "nothing"
    frees: bool = False


def raised(task: Task | None, trigger: Trigger, plan: Plan, now_us: int, *, held: str | None = None) -> Step:
    """A trigger asks for a call: opens a task, or updates the one that is open.

    `held`: the outage that may be behind it; a new task then waits until that one lets it go.
    """
    fact = Raised(trigger.id, trigger.data.day)
    if task is None or not task.is_live:
        return _opened(trigger, fact, plan, now_us, held)
    if fact in task.raised:
        return Step(task=task)
    updated = msgspec.structs.replace(
        task, trigger=trigger, raised=(*task.raised, fact), plan=plan, updated_us=now_us
    )
    # Who has the call in hand already sees the new facts there and is not called twice.
    to_people = task.state in UNTOUCHED_STATES
    return Step(
        task=updated,
        notes=(Note(change="updated", detail=trigger.data.day.isoformat()),),
        announcements=(Announcement(kind="again", trigger=trigger, to_people=to_people),),
    )


def _opened(trigger: Trigger, fact: Raised, plan: Plan, now_us: int, held: str | None) -> Step:
    task = Task(
        id=trigger.id,
        state="open",
        trigger=trigger,
        raised=(fact,),
        plan=plan,
        opened_us=now_us,
        updated_us=now_us,
        owner=plan.owner,
        held=held,
    )
    return Step(
        task=task,
        notes=(Note(change="opened", detail=" ".join(plan.problems)),),
        announcements=(Announcement(kind="opened", trigger=trigger),),
    )


def resumed(task: Task, trigger: Trigger, now_us: int) -> Step:
    """The customer is back: closes the task unless it stands for a later silence as well.

    Everything an episode raised lies on or before the day of the use that ended it, and everything
    a later one raises lies after it, so the days alone tell them apart.
    """
    return _without(task, tuple(r for r in task.raised if r.day > trigger.data.day), trigger, now_us)


def retracted(task: Task, trigger: Trigger, now_us: int) -> Step:
    """The stop was none: closes the task unless another of its triggers still stands."""
    left = tuple(r for r in task.raised if r.id != trigger.data.stopped_id)
    return _without(task, left, trigger, now_us)


def _without(task: Task, left: tuple[Raised, ...], trigger: Trigger, now_us: int) -> Step:
    reason: Literal["resumed", "retracted"] = "resumed" if trigger.type == RESUMED else "retracted"
    note = Note(change=reason, detail=trigger.data.day.isoformat())
    if not task.is_live:
        # The call was made and closed; that it rested on a fact since taken back belongs in its record.
        return Step(task=task, notes=(note,) if reason == "retracted" and left != task.raised else ())
    if left == task.raised:
        return Step(task=task)
    if left:
        return Step(task=_changed(task, now_us, raised=left), notes=(note,))
    closed = _changed(
        task, now_us, state="cancelled", cancelled=reason, closed_us=now_us, closed_by=SYSTEM, held=None
    )
    return Step(
        task=closed,
        notes=(note,),
        announcements=(Announcement(kind="closed", trigger=trigger),),
        withdraws="all",
    )


def notified(task: Task, channel: str, now_us: int) -> Step:
    """A channel has it; the first one counts."""
    if task.state != "open":
        return Step(task=task)
    return Step(
        task=_changed(task, now_us, state="notified"), notes=(Note(change="notified", detail=channel),)
    )


def acknowledge(task: Task, actor: str, now_us: int) -> Step:
    """Somebody takes the call. Raises Conflict when it is closed, or in somebody else's hands."""
    _must_live(task)
    if task.state == "acknowledged" and task.acknowledged_by == actor:
        return Step(task=task)
    if task.state == "acknowledged":
        raise Conflict(f"{task.acknowledged_by} has already taken this call", code="already_taken")
    changed = _changed(
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
    changed = _changed(task, now_us, state="snoozed", snoozed_until_us=until_us, snooze_reason=reason)
    return Step(task=changed, notes=(Note(change="snoozed", actor=actor, detail=reason),), withdraws="people")


def finish(task: Task, actor: str, outcome: Outcome, note: str, now_us: int) -> Step:
    """The call was made. Doing the same again changes nothing; another outcome is a Conflict."""
    _must_fit(note)
    if task.state == "done" and task.outcome == outcome and (task.note == note or not note):
        return Step(task=task)
    _must_live(task)
    changed = _changed(
        task, now_us, state="done", outcome=outcome, note=note, closed_us=now_us, closed_by=actor, held=None
    )
    return Step(task=changed, notes=(Note(change="done", actor=actor, detail=outcome),), withdraws="all")


def reopen(task: Task, actor: str, now_us: int) -> Step:
    """Takes an outcome back (a slip of the hand); the task is acknowledged again by whoever did it."""
    if task.state == "acknowledged" and task.acknowledged_by == actor:
        return Step(task=task)
    if task.state != "done":
        raise Conflict(f"only an outcome can be undone, and {_said(task)}", code="not_done")
    changed = _changed(
        task,
        now_us,
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
    changed = _changed(task, now_us, owner=owner, state=state, acknowledged_us=None, acknowledged_by=None)
    return Step(task=changed, notes=(Note(change="assigned", actor=actor, detail=owner),))


def woken(task: Task, times: Times, now_us: int) -> Step:
    """Its time has come: snoozed tasks come back, unanswered ones escalate, forgotten ones expire."""
    if task.wake_us is None or task.wake_us > now_us:
        return Step(task=task)
    if task.state == "snoozed":
        return _back(task, times, now_us)
    if task.escalates_us is not None and task.escalates_us == task.wake_us:
        return _escalated(task, now_us)
    changed = _changed(task, now_us, state="expired", closed_us=now_us, closed_by=SYSTEM)
    return Step(task=changed, notes=(Note(change="expired"),), withdraws="all")


def freed(task: Task, times: Times, now_us: int, *, actor: str, unverified: bool, is_told: bool) -> Step:
    """The outage guard lets a call go. `is_told`: it was held long enough to be worth a line in the trail."""
    changed = _changed(
        task,
        now_us,
        held=None,
        unverified=unverified,
        plan=msgspec.structs.replace(task.plan, times=times),
    )
    notes = (Note(change="released", actor=actor),) if is_told else ()
    return Step(task=changed, notes=notes, frees=True)


def _back(task: Task, times: Times, now_us: int) -> Step:
    changed = _changed(
        task,
        now_us,
        state="open",
        snoozed_until_us=None,
        escalated_us=None,
        plan=msgspec.structs.replace(task.plan, times=times),
    )
    nudge = Announcement(kind="woken", trigger=task.trigger, to_machines=False)
    return Step(
        task=changed, notes=(Note(change="woken", detail=task.snooze_reason),), announcements=(nudge,)
    )


def _escalated(task: Task, now_us: int) -> Step:
    nudge = Announcement(kind="escalated", trigger=task.trigger, to_machines=False)
    return Step(
        task=_changed(task, now_us, escalated_us=now_us),
        notes=(Note(change="escalated", detail=task.plan.escalate_to or ""),),
        announcements=(nudge,),
    )


def _changed(task: Task, now_us: int, **values: object) -> Task:
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
