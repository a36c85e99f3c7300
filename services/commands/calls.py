"""Which triggers become call tasks, and when each call has to be made; pure, by the notifier's own rules."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import msgspec

from services.notifier.planning.plans import Plan
from services.notifier.planning.zones import day_closes_us, instant_of, zone
from services.notifier.tasks.folding import take_trigger, warm
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import Task
from services.notifier.tasks.turns import woken
from shared.clock import from_us, rfc3339
from shared.config import Config, parse_local_time
from shared.triggers import Trigger


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call task as it would have been handed out; `owner` None: no CSM was named.

    `given_on`: the day, in the owner's zone or else the customer's, on which it goes out.
    """

    trigger: Trigger
    kind: str
    owner: str | None
    due_us: int
    given_on: date

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
    ledger, called = Ledger(channels={}), set[str]()
    for trigger in triggers:
        _wake_until(ledger, config, decided_us(trigger))
        take_trigger(ledger, trigger, b"", config, decided_us(trigger))
        yield from _new_calls(ledger, config, called)
    _wake_until(ledger, config, None)
    yield from _new_calls(ledger, config, called)


def _new_calls(ledger: Ledger, config: Config, called: set[str]) -> Iterator[Call]:
    for task in [task for task in ledger.changed.values() if task.id not in called]:
        called.add(task.id)
        yield Call(
            trigger=task.trigger,
            kind=task.plan.kind,
            owner=task.owner,
            due_us=_due_us(task.plan),
            given_on=_given_on(task, config),
        )


def decided_us(trigger: Trigger) -> int:
    """When the trigger was decided, microseconds since the epoch."""
    return instant_of(trigger.data.decided_at)


def _wake_until(ledger: Ledger, config: Config, until_us: int | None) -> None:
    """Lets the tasks do what they do by themselves until then; None: all that they ever will."""
    while due := [
        (task.wake_us, task.id)
        for task in ledger.changed.values()
        if task.wake_us is not None and (until_us is None or task.wake_us <= until_us)
    ]:
        at_us, task_id = min(due)
        task = ledger.changed[task_id]
        ledger.take(woken(task, at_us), at_us)
        warm(ledger, task, config, at_us)


def _given_on(task: Task, config: Config) -> date:
    owner = config.csms.get(task.owner or "")
    where = owner.time_zone if owner else task.plan.contact.zone
    return from_us(task.plan.times.notify_us).astimezone(zone(where)).date()


def _due_us(plan: Plan) -> int:
    """The end of the contact window it goes out in; without one, of the usage day."""
    if plan.times.due_us is not None:
        return plan.times.due_us
    day_starts_at = parse_local_time(plan.contact.day_starts_at)
    return day_closes_us(plan.times.notify_us, zone(plan.contact.zone), day_starts_at)
