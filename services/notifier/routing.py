"""Decides from a trigger and the configuration who is asked to do what, where it is said, and when."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from services.notifier.tasks import Contact, Plan, Times
from services.notifier.zones import Span, day_closes_us, openings, parse_window
from shared.config import (
    AbsenceRuleSection,
    Config,
    CsmSection,
    PlaybookSection,
    ProductSection,
    TaskSection,
    parse_local_time,
)
from shared.triggers import RESUMED, CustomerFacts, Trigger

RETRACTED_SUFFIX = ".retracted"
LOOK_AHEAD_DAYS = 14
"""A contact window that does not meet the CSM's hours within so many days is taken never to open."""

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
    times = times_for(contact, lifetime_us, now_us)
    if times.due_us is None and contact.window is not None:
        # The call is worth more than the window: hand it over and say what is wrong with it.
        contact = _without_window(contact)
        times = times_for(contact, lifetime_us, now_us)
        more = (*more, "window_never_opens")
    escalate_to, missing = _escalation(playbook, owner, config.csms)
    return Plan(
        kind=playbook.task.kind,
        title={str(language): text for language, text in playbook.task.title.items()},
        owner=owner,
        channels=playbook.send,
        contact=contact,
        lifetime_us=lifetime_us,
        times=times,
        escalate_after_us=playbook.escalate.after // _MICROSECOND if playbook.escalate else None,
        escalate_to=escalate_to,
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
    return all(_holds(want, _fact(trigger, name)) for name, want in playbook.condition.items())


def _fact(trigger: Trigger, name: str) -> Any:
    """`rule`, a field of the customer, or one of its properties, in this order."""
    if name == "rule":
        return trigger.data.rule
    customer = trigger.data.customer
    if name in CustomerFacts.__struct_fields__ and name != "properties":
        return getattr(customer, name)
    return customer.properties.get(name)


def _holds(want: Any, fact: Any) -> bool:
    """A value equals, a list names several, a mapping compares: at_least, below, not."""
    if isinstance(want, Mapping):
        return all(_compares(operator, bound, fact) for operator, bound in want.items())
    if isinstance(want, Sequence) and not isinstance(want, str):
        return any(_holds(one, fact) for one in want)
    return bool(want == fact) or (want is not None and fact is not None and str(want) == str(fact))


def _compares(operator: str, bound: Any, fact: Any) -> bool:
    if operator == "not":
        return not _holds(bound, fact)
    number = _number(fact)
    if number is None:
        return False
    return number >= float(bound) if operator == "at_least" else number < float(bound)


def _number(fact: Any) -> float | None:
    try:
        return None if isinstance(fact, bool) else float(fact)
    except (TypeError, ValueError):
        return None


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
        hours=csm.hours if csm else None,
        hours_zone=csm.time_zone if csm else None,
        days_off=csm.days_off if csm else (),
    )
    return contact, tuple(problems)


def _is_zone(name: str) -> bool:
    try:
        zone(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError, told as ValueError by zone()
        return False
    return True


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except KeyError as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error


def _is_window(window: str) -> bool:
    try:
        parse_window(window)
    except ValueError:
        return False
    return True


def _without_window(contact: Contact) -> Contact:
    return Contact(
        zone=contact.zone,
        day_starts_at=contact.day_starts_at,
        hours=contact.hours,
        hours_zone=contact.hours_zone,
        days_off=contact.days_off,
    )


def _lifetime(task: TaskSection) -> Any:
    if isinstance(task.expires, timedelta):
        return task.expires // _MICROSECOND
    return "end_of_day" if task.expires == "end_of_day" else None


def _escalation(
    playbook: PlaybookSection, owner: str | None, csms: Mapping[str, CsmSection]
) -> tuple[str | None, tuple[str, ...]]:
    """Who hears of it when nobody acknowledges: `backup` and `lead` of the owner, else of the playbook's."""
    if playbook.escalate is None:
        return None, ()
    to = playbook.escalate.to
    if to not in ("backup", "lead"):
        return to, ()
    whose = csms.get(owner or "") or csms.get(playbook.owner or "")
    found = (whose.backup if to == "backup" else whose.lead) if whose else None
    return found, () if found else (f"no_{to}",)


def times_for(contact: Contact, lifetime_us: Any, now_us: int) -> Times:
    """When it goes out, when the window closes (None: no window, or none that opens), when it expires."""
    span = next_contact(contact, now_us)
    notify_us = max(now_us, span[0]) if span else now_us
    expires_us = None
    if lifetime_us == "end_of_day":
        day_starts_at = parse_local_time(contact.day_starts_at)
        expires_us = day_closes_us(notify_us, zone(contact.zone), day_starts_at)
    elif lifetime_us is not None:
        expires_us = notify_us + lifetime_us
    return Times(notify_us=notify_us, due_us=span[1] if span else None, expires_us=expires_us)


def next_contact(contact: Contact, now_us: int) -> Span | None:
    """The first span from `now_us` on in which the customer may be called and the CSM works.

    None where there is neither window nor hours, or where they do not meet within two weeks.
    """
    spans = [spans for spans in (_calls(contact, now_us), _hours(contact, now_us)) if spans]
    if not spans:
        return None
    return next(spans[0], None) if len(spans) == 1 else _first_common(spans[0], spans[1])


def _calls(contact: Contact, now_us: int) -> Iterator[Span] | None:
    if contact.window is None:
        return None
    return openings(contact.window, zone(contact.zone), from_us=now_us, days_max=LOOK_AHEAD_DAYS)


def _hours(contact: Contact, now_us: int) -> Iterator[Span] | None:
    if contact.hours is None or contact.hours_zone is None:
        return None
    return openings(
        contact.hours,
        zone(contact.hours_zone),
        from_us=now_us,
        days_max=LOOK_AHEAD_DAYS,
        closed_weekdays=contact.days_off,
    )


def _first_common(ones: Iterator[Span], others: Iterator[Span]) -> Span | None:
    one, other = next(ones, None), next(others, None)
    while one and other:
        common = max(one[0], other[0]), min(one[1], other[1])
        if common[0] < common[1]:
            return common
        if one[1] <= other[1]:
            one = next(ones, None)
        else:
            other = next(others, None)
    return None
