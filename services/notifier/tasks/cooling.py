"""Decides whether a stop comes too soon after the customer's last call to be called at once. Pure."""

from collections.abc import Sequence

from services.notifier.planning.plans import Rest
from services.notifier.tasks.lifecycle import Cooling, Note, Raised, Step, Task, altered
from shared.triggers import Trigger


def cools_under(earlier: Sequence[Task], rest: Rest | None, now_us: int) -> tuple[Task, int] | None:
    """The task under which a stop is only noted for now, and until when; None where it is called at once.

    `earlier` are the closed tasks of the same customer, rule and type of trigger.
    """
    # A stop that was taken back was no call: the one that follows it is the first.
    stood = [task for task in earlier if task.closed_us is not None and task.cancelled != "retracted"]
    if rest is None or not stood:
        return None
    last = max(stood, key=lambda task: (task.closed_us or 0, task.id))
    until_us = max((last.closed_us or 0) + rest.cooldown_us, _damped_until_us(stood, rest, now_us))
    if last.cooling is not None:
        until_us = max(until_us, last.cooling.until_us)
    return (last, until_us) if until_us > now_us else None


def _damped_until_us(stood: Sequence[Task], rest: Rest, now_us: int) -> int:
    """A customer that has come and gone often enough proves nothing by going once more."""
    recent = [at_us for task in stood for at_us in task.returns_us if at_us > now_us - rest.within_us]
    is_damped = rest.returns is not None and len(recent) >= rest.returns
    return now_us + rest.wait_us if is_damped else 0


def cooled(task: Task, trigger: Trigger, until_us: int, now_us: int) -> Step:
    """Notes a stop under the closed task before it; it is called at `until_us` if it still stands."""
    earlier = task.cooling.raised if task.cooling is not None else ()
    fact = Raised(trigger.id, trigger.data.day)
    cooling = Cooling(trigger=trigger, raised=(*earlier, fact), until_us=until_us)
    noted = altered(task, now_us, cooling=cooling)
    return Step(task=noted, notes=(Note(change="stopped_again", detail=trigger.data.day.isoformat()),))


def ended(task: Task, now_us: int) -> Step:
    """What was noted under a task is a task of its own from now on, or part of one."""
    return Step(task=altered(task, now_us, cooling=None))
