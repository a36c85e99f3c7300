"""What is decided for a trigger: who is asked to do what, where it is said, when, and who hears next."""

from typing import Literal

import msgspec

from services.notifier.planning.contact import Contact, next_contact
from services.notifier.planning.zones import day_closes_us, zone
from shared.config import parse_local_time


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears of a call that nobody has taken so long after it went out, within their own `hours`."""

    after_us: int
    to: str
    hours: Contact


class Rest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a customer that was called, or that comes and goes, is not to be called again at once.

    For `cooldown_us` after the last task was closed; and after `returns` returns within `within_us`, for
    `wait_us` after the next stop.
    """

    cooldown_us: int = 0
    returns: int | None = None
    within_us: int = 0
    wait_us: int = 0


class Times(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When the task goes out, when the call window closes, when nobody needs it any more, and when each
    of the plan's escalations is due."""

    notify_us: int
    due_us: int | None
    expires_us: int | None
    escalate_us: tuple[int, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done about one trigger. `problems` are codes shown to operator and CSM.

    `is_limited`: the owner gets so many such calls a day and no more.
    """

    kind: str
    title: dict[str, str]
    owner: str | None
    channels: tuple[str, ...]
    contact: Contact
    lifetime_us: int | Literal["end_of_day"] | None
    times: Times
    escalations: tuple[Escalation, ...] = ()
    rest: Rest | None = None
    is_limited: bool = False
    problems: tuple[str, ...] = ()


def planned_anew(plan: Plan, now_us: int) -> Plan:
    """The same plan for a call that goes out from now on."""
    times = times_for(plan.contact, plan.lifetime_us, plan.escalations, now_us)
    return msgspec.structs.replace(plan, times=times)


def times_for(
    contact: Contact,
    lifetime_us: int | Literal["end_of_day"] | None,
    escalations: tuple[Escalation, ...],
    now_us: int,
) -> Times:
    """When it goes out, when the window closes (None: no window, or none that opens), when it expires."""
    span = next_contact(contact, now_us)
    notify_us = max(now_us, span[0]) if span else now_us
    return Times(
        notify_us=notify_us,
        due_us=span[1] if span else None,
        expires_us=_expires_us(contact, lifetime_us, notify_us),
        escalate_us=tuple(_heard_us(escalation, notify_us) for escalation in escalations),
    )


def _expires_us(
    contact: Contact, lifetime_us: int | Literal["end_of_day"] | None, notify_us: int
) -> int | None:
    if lifetime_us == "end_of_day":
        return day_closes_us(notify_us, zone(contact.zone), parse_local_time(contact.day_starts_at))
    return None if lifetime_us is None else notify_us + lifetime_us


def _heard_us(escalation: Escalation, notify_us: int) -> int:
    """Nobody hears of a call at night; where somebody never works, it is said at once all the same."""
    after_us = notify_us + escalation.after_us
    span = next_contact(escalation.hours, after_us)
    return max(after_us, span[0]) if span else after_us
