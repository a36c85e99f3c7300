"""What befalls a task by itself: triggers raise it and take it back, time wakes it, a hold lets it go.

One open task per customer, rule and type of trigger; a second trigger updates it.
"""

from typing import Literal

import msgspec

from services.notifier.plans import Plan, planned_anew
from services.notifier.tasks import (
    PEERS,
    SYSTEM,
    UNTOUCHED_STATES,
    Announcement,
    Note,
    Peers,
    Raised,
    Step,
    Task,
    altered,
)
from shared.triggers import RESUMED, Trigger


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
        return Step(task=altered(task, now_us, raised=left), notes=(note,))
    closed = altered(
        task, now_us, state="cancelled", cancelled=reason, closed_us=now_us, closed_by=SYSTEM, held=None
    )
    return Step(
        task=closed,
        notes=(note,),
        announcements=(Announcement(kind="closed", trigger=trigger),),
        withdraws="all",
    )


def woken(task: Task, now_us: int) -> Step:
    """Its time has come: snoozed tasks come back, unanswered ones escalate, forgotten ones expire."""
    if task.wake_us is None or task.wake_us > now_us:
        return Step(task=task)
    if task.state == "snoozed":
        return _back(task, now_us)
    if task.escalates_us is not None and task.escalates_us == task.wake_us:
        return _escalated(task, now_us)
    expired = altered(task, now_us, state="expired", closed_us=now_us, closed_by=SYSTEM)
    return Step(task=expired, notes=(Note(change="expired"),), withdraws="all")


def waits(task: Task, stopped_count: int, cohort_count: int, now_us: int) -> Step:
    """Many like customers stopped with this one: its call waits for what the days after show."""
    peers = Peers(stopped_count, cohort_count)
    waiting = altered(task, now_us, held=f"{PEERS}{task.held}", peers=peers)
    return Step(task=waiting, notes=(Note(change="waits", detail=f"{stopped_count} / {cohort_count}"),))


def freed(task: Task, now_us: int, *, actor: str, unverified: bool, is_told: bool) -> Step:
    """The outage guard lets a call go. `is_told`: it was held long enough to be worth a line in the trail."""
    plan = planned_anew(task.plan, now_us)
    free = altered(task, now_us, held=None, unverified=unverified, plan=plan)
    return Step(task=free, notes=(Note(change="released", actor=actor),) if is_told else (), frees=True)


def _back(task: Task, now_us: int) -> Step:
    back = altered(
        task,
        now_us,
        state="open",
        snoozed_until_us=None,
        escalated_us=None,
        escalated_count=0,
        plan=planned_anew(task.plan, now_us),
    )
    nudge = Announcement(kind="woken", trigger=task.trigger, to_machines=False)
    return Step(task=back, notes=(Note(change="woken", detail=task.snooze_reason),), announcements=(nudge,))


def _escalated(task: Task, now_us: int) -> Step:
    """The next one in the plan hears of it; whoever heard before goes on seeing it."""
    to = task.plan.escalations[task.escalated_count].to
    nudge = Announcement(kind="escalated", trigger=task.trigger, to=to, to_machines=False)
    told = altered(task, now_us, escalated_us=now_us, escalated_count=task.escalated_count + 1)
    return Step(task=told, notes=(Note(change="escalated", detail=to),), announcements=(nudge,))
