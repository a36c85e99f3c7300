"""Decides from a trigger and the configuration who is asked to do what, where it is said, and when."""

import fnmatch
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from services.notifier.planning.contact import Contact
from services.notifier.planning.plans import Escalation, Plan, Rest, times_for
from services.notifier.planning.quiet import QuietDays
from services.notifier.planning.zones import parse_window, zone
from shared.conditions import holds
from shared.config import (
    AbsenceRuleSection,
    Config,
    CsmSection,
    PlaybookSection,
    ProductSection,
    QuietDaysSection,
    TaskSection,
)
from shared.triggers import RESUMED, CustomerFacts, Trigger

RETRACTED_SUFFIX = ".retracted"
_MICROSECOND = timedelta(microseconds=1)
_DEFAULT_PLAYBOOK = PlaybookSection(on="*")


def closes_tasks(trigger: Trigger) -> bool:
    """Whether a trigger takes back an earlier one rather than asking for something."""
    return trigger.type == RESUMED or trigger.type.endswith(RETRACTED_SUFFIX)


def plan_for(trigger: Trigger, config: Config, now_us: int) -> Plan | None:
    """What to do about a trigger; None: nothing, for no playbook wants it."""
    product = config.products.get(trigger.data.product, ProductSection())
    playbook = playbook_for(trigger, product)
    if playbook is None:
        return None
    owner, problems = _owner(trigger.data.customer, playbook, config.csms)
    contact, more = _contact(trigger.data.customer, playbook.task, product, config.csms.get(owner or ""))
    lifetime_us = _lifetime(playbook.task)
    escalations, missing = _escalations(playbook, owner, contact.zone, config.csms)
    times = times_for(contact, lifetime_us, escalations, now_us)
    if times.due_us is None and contact.window is not None:
        # The call is worth more than the window: hand it over and say what is wrong with it.
        contact = msgspec.structs.replace(contact, window=None)
        times = times_for(contact, lifetime_us, escalations, now_us)
        more = (*more, "window_never_opens")
    if times.due_us is None and contact.hours is not None:
        more = (*more, "hours_never_open")
    return Plan(
        kind=playbook.task.kind,
        title={str(language): text for language, text in playbook.task.title.items()},
        owner=owner,
        channels=playbook.send,
        contact=contact,
        lifetime_us=lifetime_us,
        times=times,
        escalations=escalations,
        rest=_rest(playbook),
        is_limited=playbook.task.kind == "call" and _has_limit(config.csms.get(owner or "")),
        problems=(*problems, *more, *missing),
    )


def playbook_for(trigger: Trigger, product: ProductSection) -> PlaybookSection | None:
    """The first playbook of the file that fits; where a product has none at all, stops get a call."""
    if not product.playbooks:
        return _DEFAULT_PLAYBOOK if is_stop(trigger, product) else None
    return next((p for p in product.playbooks if _fits(p, trigger)), None)


def is_stop(trigger: Trigger, product: ProductSection) -> bool:
    """Whether a trigger says that a customer has stopped: what an absence rule of the product emits."""
    rule = product.rules.get(trigger.data.rule)
    if rule is None:
        return trigger.type.endswith(".stopped")
    return isinstance(rule, AbsenceRuleSection) and trigger.type == rule.emit


def _fits(playbook: PlaybookSection, trigger: Trigger) -> bool:
    wanted = (playbook.on,) if isinstance(playbook.on, str) else playbook.on
    if not any(fnmatch.fnmatchcase(trigger.type, pattern) for pattern in wanted):
        return False
    return all(holds(want, _fact(trigger, name)) for name, want in playbook.condition.items())


def _fact(trigger: Trigger, name: str) -> Any:
    """`rule`, a field of the customer, or one of its properties, in this order."""
    if name == "rule":
        return trigger.data.rule
    customer = trigger.data.customer
    if name in CustomerFacts.__struct_fields__ and name != "properties":
        return getattr(customer, name)
    return customer.properties.get(name)


def _owner(
    customer: CustomerFacts, playbook: PlaybookSection, csms: Mapping[str, CsmSection]
) -> tuple[str | None, tuple[str, ...]]:
    """The customer's CSM, else the playbook's, else nobody. Without a list of CSMs any name will do."""
    if customer.csm and (customer.csm in csms or not csms):
        return customer.csm, ()
    problems = ("unknown_csm",) if customer.csm else ()
    return playbook.owner, problems


def _contact(
    customer: CustomerFacts, task: TaskSection, product: ProductSection, csm: CsmSection | None
) -> tuple[Contact, tuple[str, ...]]:
    problems = []
    zone = customer.time_zone or product.time_zone
    if not _is_zone(zone):
        zone, problems = product.time_zone, ["unknown_time_zone"]
    window = customer.contact_window or task.contact_window
    if window is not None and not _is_window(window):
        window = task.contact_window
        problems.append("bad_contact_window")
    contact = Contact(
        zone=zone,
        day_starts_at=product.day_starts_at.strftime("%H:%M"),
        window=window,
        quiet=_quiet_days(product.quiet_days),
    )
    return _at_work(contact, csm), tuple(problems)


def _rest(playbook: PlaybookSection) -> Rest | None:
    cooldown, damping = playbook.cooldown, playbook.damping
    if cooldown is None and damping is None:
        return None
    cooldown_us = cooldown // _MICROSECOND if cooldown is not None else 0
    if damping is None:
        return Rest(cooldown_us=cooldown_us)
    return Rest(
        cooldown_us=cooldown_us,
        returns=damping.returns,
        within_us=damping.within // _MICROSECOND,
        wait_us=damping.wait // _MICROSECOND,
    )


def _has_limit(csm: CsmSection | None) -> bool:
    return csm is not None and csm.calls_per_day_max is not None


def _at_work(contact: Contact, csm: CsmSection | None) -> Contact:
    """Within this CSM's working hours."""
    if csm is None:
        return contact
    return msgspec.structs.replace(
        contact,
        hours=csm.hours,
        hours_zone=csm.time_zone,
        days_off=csm.days_off,
        hours_quiet=_quiet_days(csm.quiet_days),
    )


def _quiet_days(section: QuietDaysSection) -> QuietDays:
    return QuietDays(holidays=section.holidays, dates=section.dates)


def _is_zone(name: str) -> bool:
    try:
        zone(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError, told as ValueError by zone()
        return False
    return True


def _is_window(window: str) -> bool:
    try:
        parse_window(window)
    except ValueError:
        return False
    return True


def _lifetime(task: TaskSection) -> Any:
    if isinstance(task.expires, timedelta):
        return task.expires // _MICROSECOND
    return "end_of_day" if task.expires == "end_of_day" else None


def _escalations(
    playbook: PlaybookSection, owner: str | None, zone: str, csms: Mapping[str, CsmSection]
) -> tuple[tuple[Escalation, ...], tuple[str, ...]]:
    """Who hears of it when nobody acknowledges; a step that leads to nobody is left out, and told."""
    steps, problems = [], []
    whose = csms.get(owner or "") or csms.get(playbook.owner or "")
    for section in playbook.escalate:
        to = _heard_by(section.to, whose)
        if to is None:
            problems.append(f"no_{section.to}")
            continue
        hours = _at_work(Contact(zone=zone), csms.get(to))
        steps.append(Escalation(after_us=section.after // _MICROSECOND, to=to, hours=hours))
    return tuple(steps), tuple(problems)


def _heard_by(to: str, whose: CsmSection | None) -> str | None:
    """`backup` and `lead` of the owner, else of the playbook's; anybody else by their id."""
    if to not in ("backup", "lead"):
        return to
    if whose is None:
        return None
    return whose.backup if to == "backup" else whose.lead
