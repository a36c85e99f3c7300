"""Folds triggers into a ledger: each opens a task, updates or closes one, or is noted under one. Pure."""

from services.notifier.planning.guard import counted, outage_id, taken_back
from services.notifier.planning.plans import Plan, planned_anew
from services.notifier.planning.routing import RETRACTED_SUFFIX, closes_tasks, is_stop, plan_for
from services.notifier.tasks.capacity import day_of
from services.notifier.tasks.cooling import cooled, cools_under, ended
from services.notifier.tasks.ledger import Ledger, key_of
from services.notifier.tasks.lifecycle import Raised, Task
from services.notifier.tasks.turns import raised, resumed, retracted
from shared.config import Config, ProductSection
from shared.triggers import RESUMED, Trigger


def take_trigger(ledger: Ledger, trigger: Trigger, value: bytes, config: Config, now_us: int) -> None:
    """Folds one trigger into the ledger; one that is known already changes nothing."""
    if trigger.id in ledger.known:
        return
    is_counted = _count(ledger, trigger, config, now_us)
    closed_id = _take_back(ledger, trigger, now_us) if closes_tasks(trigger) else ""
    plan = plan_for(trigger, config, now_us)
    if plan is not None:
        _open(ledger, trigger, value, plan, now_us, ledger.hold_of(trigger) if is_counted else None)
    elif closed_id or is_counted:
        # It stands under what it closed; where nobody calls, under nothing, so that it is not counted twice.
        ledger.learn(trigger, value, closed_id, now_us)


def _open(ledger: Ledger, trigger: Trigger, value: bytes, plan: Plan, now_us: int, held: str | None) -> None:
    same = _live_task(ledger, trigger)
    if same is None and (cool := cools_under(_closed_tasks(ledger, trigger), plan.rest, now_us)) is not None:
        step = cooled(cool[0], trigger, cool[1], now_us)
    else:
        noted = _noted_until_now(ledger, trigger, now_us) if same is None else ()
        step = raised(same, trigger, plan, now_us, held=held or day_of(plan, plan.owner), earlier=noted)
        ledger.move(noted, step.task.id)
    ledger.learn(trigger, value, step.task.id, now_us)
    ledger.take(step, now_us)


def warm(ledger: Ledger, task: Task, config: Config, now_us: int) -> None:
    """Calls the stops noted under a closed task, where they still stand and their time has come."""
    cooling = task.cooling
    if cooling is None or cooling.until_us > now_us:
        return
    plan = plan_for(cooling.trigger, config, now_us) or planned_anew(task.plan, now_us)
    same = _live_task(ledger, cooling.trigger)
    ledger.take(ended(task, now_us), now_us)
    held = day_of(plan, plan.owner)
    step = raised(same, cooling.trigger, plan, now_us, held=held, earlier=cooling.raised)
    ledger.move(cooling.raised, step.task.id)
    ledger.take(step, now_us)


def _live_task(ledger: Ledger, trigger: Trigger) -> Task | None:
    live = ledger.live(key_of(trigger))
    return next((task for task in live if task.trigger.type == trigger.type), None)


def _closed_tasks(ledger: Ledger, trigger: Trigger) -> list[Task]:
    return ledger.closed(key_of(trigger), trigger.type)


def _noted_until_now(ledger: Ledger, trigger: Trigger, now_us: int) -> tuple[Raised, ...]:
    """What was noted under closed tasks, whose time has come; it is part of the new task."""
    found: tuple[Raised, ...] = ()
    for task in _closed_tasks(ledger, trigger):
        if task.cooling is not None:
            found += task.cooling.raised
            ledger.take(ended(task, now_us), now_us)
    return found


def _count(ledger: Ledger, trigger: Trigger, config: Config, now_us: int) -> bool:
    """Counts a stop, or what takes one back, with its outage; whether the guard looks at it at all."""
    outage, data = ledger.outages.get(outage_id(trigger) or ""), trigger.data
    if outage is None:
        return False
    section = config.products.get(data.product, ProductSection())
    if is_stop(trigger, section):
        ledger.put_outage(counted(outage, now_us))
        return True
    if trigger.type.endswith(RETRACTED_SUFFIX) and data.stopped_id in ledger.known:
        ledger.put_outage(taken_back(outage, section, now_us))
        return True
    return False


def _take_back(ledger: Ledger, trigger: Trigger, now_us: int) -> str:
    """Closes what a return or a retraction ends; the id of the last task that it says something of."""
    said_of = ""
    data, key = trigger.data, key_of(trigger)
    concerned = [*ledger.live(key), *ledger.cooling(key)]
    told = ledger.task(ledger.known.get(data.stopped_id or "", ""))
    if told is not None and told not in concerned:
        concerned.append(told)
    close = resumed if trigger.type == RESUMED else retracted
    for task in concerned:
        asked_by = task.trigger.type
        if asked_by == RESUMED or asked_by.endswith(RETRACTED_SUFFIX):
            continue  # What a return or a retraction itself asked for (a playbook of its own) stays as it is.
        step = close(task, trigger, now_us)
        if step.notes:
            said_of = task.id
            ledger.take(step, now_us)
    return said_of
