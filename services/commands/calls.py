"""Which triggers become call tasks, and when each call has to be made; pure, by the notifier's own rules."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from services.notifier.plans import Plan
from services.notifier.routing import closes_tasks, plan_for
from services.notifier.tasks import Task
from services.notifier.turns import raised, resumed, retracted, woken
from services.notifier.zones import day_closes_us, zone
from shared.clock import from_us, rfc3339, to_us
from shared.config import Config, parse_local_time
from shared.triggers import RESUMED, Trigger


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call task as it would have been handed out; `owner` None: no CSM was named."""

    trigger: Trigger
    kind: str
    owner: str | None
    due_us: int

    def line(self) -> dict[str, Any]:
        """As `backtest --calls` writes it."""
        return {
            "customer_id": self.trigger.data.customer.id,
            "rule": self.trigger.data.rule,
            "day": self.trigger.data.day.isoformat(),
            "trigger_id": self.trigger.id,
            "due_at": rfc3339(self.due_us),
            "surprise": self.trigger.data.surprise,
        }


def calls_of(triggers: Iterable[Trigger], config: Config) -> Iterator[Call]:
    """The call tasks that one customer's triggers, in order, would have opened; nobody closes any by hand."""
    open_tasks: dict[tuple[str, str], Task] = {}
    for trigger in triggers:
        now_us = decided_us(trigger)
        if closes_tasks(trigger):
            _close(open_tasks, trigger, now_us)
            continue
        plan = plan_for(trigger, config, now_us)
        if plan is None:
            continue
        place = (trigger.data.rule, trigger.type)
        before = _as_of(open_tasks.get(place), now_us)
        task = raised(before, trigger, plan, now_us).task
        if before is None or task.id != before.id:
            yield Call(trigger=trigger, kind=plan.kind, owner=plan.owner, due_us=_due_us(plan))
        open_tasks[place] = task


def decided_us(trigger: Trigger) -> int:
    """When the trigger was decided, microseconds since the epoch."""
    return to_us(msgspec.convert(trigger.data.decided_at, type=_Instant))


_Instant = type(from_us(0))


def _close(open_tasks: dict[tuple[str, str], Task], trigger: Trigger, now_us: int) -> None:
    take_back = resumed if trigger.type == RESUMED else retracted
    for place, task in open_tasks.items():
        if place[0] == trigger.data.rule:
            open_tasks[place] = take_back(task, trigger, now_us).task


def _as_of(task: Task | None, now_us: int) -> Task | None:
    """The task after everything that it does by itself until `now_us`."""
    while task is not None and task.wake_us is not None and task.wake_us <= now_us:
        task = woken(task, now_us).task
    return task


def _due_us(plan: Plan) -> int:
    """The end of the contact window it goes out in; without one, of the usage day."""
    if plan.times.due_us is not None:
        return plan.times.due_us
    day_starts_at = parse_local_time(plan.contact.day_starts_at)
    return day_closes_us(plan.times.notify_us, zone(plan.contact.zone), day_starts_at)
