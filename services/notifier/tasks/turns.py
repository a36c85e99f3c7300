"""What befalls a task by itself: triggers raise it and take it back, time wakes it, a hold lets it go.

One open task per customer, rule and type of trigger; a second trigger updates it.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from services.notifier.planning.plans import Plan, planned_anew
from services.notifier.tasks.capacity import day_of
from services.notifier.tasks.lifecycle import (
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


def raised(
    task: Task | None,
    trigger: Trigger,
    plan: Plan,
    now_us: int,
    *,
    held: str | None = None,
    earlier: tuple[Raised, ...] = (),
) -> Step:
    """A trigger asks for a call: opens a task, or updates the one that is open.

    `held`: the outage that may be behind it; a new task then waits until that one lets it go. `earlier`:
    what a new task stands for besides, for it was only noted until now.
    """
    fact = Raised(trigger.id, trigger.data.day)
    if task is None or not task.is_live:
        return _opened(trigger, (*(one for one in earlier if one != fact), fact), plan, now_us, held)
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


def _opened(trigger: Trigger, facts: tuple[Raised, ...], plan: Plan, now_us: int, held: str | None) -> Step:
    task = Task(
        id=trigger.id,
        state="open",
        trigger=trigger,
        raised=facts,
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
    return _without(task, lambda fact: fact.day > trigger.data.day, trigger, now_us)


def retracted(task: Task, trigger: Trigger, now_us: int) -> Step:
    """The stop was none: closes the task unless another of its triggers still stands."""
    return _without(task, lambda fact: fact.id != trigger.data.stopped_id, trigger, now_us)


def _without(task: Task, stands: Callable[[Raised], bool], trigger: Trigger, now_us: int) -> Step:
    reason: Literal["resumed", "retracted"] = "resumed" if trigger.type == RESUMED else "retracted"
    note = Note(change=reason, detail=trigger.data.day.isoformat())
    left = tuple(filter(stands, task.raised))
    if not task.is_live:
        return _closed_without(task, stands, note, now_us)
    if left == task.raised:
        return Step(task=task)
    if left:
        return Step(task=altered(task, now_us, raised=left), notes=(note,))
    is_return = reason == "resumed" and task.state in UNTOUCHED_STATES
    closed = altered(
        task,
        now_us,
        state="cancelled",
        cancelled=reason,
        closed_us=now_us,
        closed_by=SYSTEM,
        held=None,
        returns_us=(*task.returns_us, now_us) if is_return else task.returns_us,
    )
    return Step(
        task=closed,
        notes=(note,),
        announcements=(Announcement(kind="closed", trigger=trigger),),
        withdraws="all",
    )


def _closed_without(task: Task, stands: Callable[[Raised], bool], note: Note, now_us: int) -> Step:
    """Stops that were only noted are over without a word; of a call that was made it belongs in the record
    that it rested on a fact since taken back."""
    cooling = task.cooling
    left = tuple(filter(stands, cooling.raised)) if cooling is not None else ()
    if cooling is None or left == cooling.raised:
        is_wrong = note.change == "retracted" and not all(map(stands, task.raised))
        return Step(task=task, notes=(note,) if is_wrong else ())
    if left:
        return Step(
            task=altered(task, now_us, cooling=msgspec.structs.replace(cooling, raised=left)), notes=(note,)
        )
    returns_us = (*task.returns_us, now_us) if note.change == "resumed" else task.returns_us
    return Step(task=altered(task, now_us, cooling=None, returns_us=returns_us), notes=(note,))


def woken(task: Task, now_us: int) -> Step:
    """Its time has come: snoozed tasks come back, unanswered ones escalate, forgotten ones expire."""
    if not task.is_live or task.wake_us is None or task.wake_us > now_us:
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
    # Whoever has a limit a day gets it as one of that day's calls.
    held = day_of(plan, task.owner)
    free = altered(task, now_us, held=held, unverified=unverified, plan=plan)
    notes = (Note(change="released", actor=actor),) if is_told else ()
    return Step(task=free, notes=notes, frees=held is None)


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
