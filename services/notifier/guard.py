"""The outage guard: when many of a product's customers stop at one cutoff, the product is the suspect.

    watching -> clear                 (few stopped: their calls go out)
    watching, clear -> held           (many stopped: calls wait, one notice goes out)
    held -> released                  (a person says that the calls are right)
    held -> dissolved                 (late events took so many stops back that it was none)
    held -> unverified                (nobody said anything in time: calls go out marked so)

Facts stay facts: the guard holds calls, never triggers, and drops nothing.
"""

import math
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from services.notifier.contact import Contact
from services.notifier.plans import Plan, Times
from services.notifier.zones import instant_of, instant_us
from shared.clock import from_us, rfc3339
from shared.config import Config, GuardSection, ProductSection
from shared.errors import Conflict
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, trigger_id

SILENCE = "product.silence_suspected"

State = Literal["watching", "clear", "held", "released", "dissolved", "unverified"]
HOLDING: tuple[State, ...] = ("watching", "held")

QUIET_US = 2 * 1_000_000
"""A sweep is taken to be over when no stop of it has come for so long,"""

WATCH_US_MAX = 10 * 1_000_000
"""and is not waited for longer than this: a lone stop goes out within seconds of its decision."""

COHORT_DAYS = 8
_MICROSECOND = timedelta(microseconds=1)


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The stops of one product, rule and cutoff. `cohort_count` is how many customers had that cutoff.

    `wake_us` is when it next changes by itself, or when calls that it let go are still to be sent on
    their way; instants in microseconds since the epoch.
    """

    id: str
    product: str
    rule: str
    cutoff_us: int
    day: date
    zone: str
    state: State
    stopped_count: int
    cohort_count: int
    opened_us: int
    changed_us: int
    wake_us: int | None
    closed_by: str = ""

    @property
    def is_holding(self) -> bool:
        return self.state in HOLDING


def outage_id(trigger: Trigger) -> str | None:
    """Which stops this one belongs with; None where it names no cutoff."""
    data = trigger.data
    return None if data.cutoff_at is None else f"{data.product}/{data.rule}/{data.cutoff_at}"


def needed(cohort_count: int, section: GuardSection) -> int:
    """So many stops at one cutoff are too many to be true."""
    return max(section.min_customers, math.ceil(section.share * cohort_count))


def opened(trigger: Trigger, zone: str, now_us: int) -> Outage:
    """The first stop of a cutoff has been read; its call waits until it is known how many there are."""
    return Outage(
        id=outage_id(trigger) or "",
        product=trigger.data.product,
        rule=trigger.data.rule,
        cutoff_us=instant_of(trigger.data.cutoff_at or trigger.data.decided_at),
        day=trigger.data.day,
        zone=zone,
        state="watching",
        stopped_count=0,
        cohort_count=0,
        opened_us=now_us,
        changed_us=now_us,
        wake_us=now_us + QUIET_US,
    )


def counted(outage: Outage, now_us: int) -> Outage:
    """One more stop of this cutoff."""
    grown = _changed(outage, now_us, stopped_count=outage.stopped_count + 1)
    if outage.state != "watching":
        return grown
    return _changed(grown, now_us, wake_us=min(now_us + QUIET_US, outage.opened_us + WATCH_US_MAX))


def weighed(outage: Outage, cohort_count: int, section: GuardSection, now_us: int) -> Outage:
    """Whether so many of `cohort_count` customers are too many; holds from then on if so."""
    known = _changed(outage, now_us, cohort_count=cohort_count)
    if outage.state not in ("watching", "clear") or outage.stopped_count < needed(cohort_count, section):
        return known
    return _changed(known, now_us, state="held", wake_us=now_us + section.hold // _MICROSECOND)


def taken_back(outage: Outage, section: GuardSection, now_us: int) -> Outage:
    """One stop fewer: late events have shown that the customer was there."""
    fewer = _changed(outage, now_us, stopped_count=max(0, outage.stopped_count - 1))
    if outage.state != "held" or fewer.stopped_count >= needed(outage.cohort_count, section):
        return fewer
    return _changed(fewer, now_us, state="dissolved", wake_us=now_us, closed_by="system")


def due(outage: Outage, now_us: int) -> Outage:
    """What becomes of it when its time has come; the same where it has not."""
    if outage.wake_us is None or outage.wake_us > now_us:
        return outage
    if outage.state == "watching":
        return _changed(outage, now_us, state="clear")
    if outage.state == "held":
        return _changed(outage, now_us, state="unverified", closed_by="system")
    return outage


def released(outage: Outage, actor: str, now_us: int) -> Outage:
    """A person says that the customers did stop. Doing it twice is once; raises Conflict when it is over."""
    if outage.state == "released":
        return outage
    if outage.state != "held":
        raise Conflict(f"nothing is held any more: {outage.id} is {outage.state}", code="not_held")
    return _changed(outage, now_us, state="released", wake_us=now_us, closed_by=actor)


def let_go(outage: Outage, now_us: int) -> Outage:
    """Every call that it held is on its way."""
    return _changed(outage, now_us, wake_us=None)


def _changed(outage: Outage, now_us: int, **values: object) -> Outage:
    return msgspec.structs.replace(outage, changed_us=now_us, **values)


def deadlines_us(outage: Outage, zone: ZoneInfo, grace: timedelta) -> tuple[int, ...]:
    """When customers with this cutoff are next judged: at it, if they have not been yet, or on a day after.

    By local time and not by 24 hours, so that a change of clocks moves nobody into another cohort.
    """
    local = from_us(outage.cutoff_us).astimezone(zone)
    grace_us = grace // _MICROSECOND
    days = (local.date() + timedelta(days=n) for n in range(COHORT_DAYS + 1))
    later = {instant_us(day, local.time(), zone) + grace_us for day in days}
    return tuple(sorted(later | {outage.cutoff_us + grace_us}))


def silence_trigger(outage: Outage, now_us: int) -> Trigger:
    """The one notice of an outage, in the shape of every other trigger; its customer is the product."""
    return Trigger(
        id=trigger_id(
            product=outage.product,
            customer_id="",
            rule=outage.rule,
            type=SILENCE,
            day=rfc3339(outage.cutoff_us),
            episode="",
        ),
        type=SILENCE,
        timestamp=rfc3339(outage.cutoff_us),
        data=TriggerData(
            product=outage.product,
            rule=outage.rule,
            day=outage.day,
            decided_at=rfc3339(now_us),
            cutoff_at=rfc3339(outage.cutoff_us),
            count=outage.stopped_count,
            streak=StreakFacts(length=0, calendar_days=0, started_on=None, last_active_on=None),
            customer=CustomerFacts(
                id=outage.product,
                name=f"{outage.product}: {outage.stopped_count} / {outage.cohort_count}",
                time_zone=outage.zone,
            ),
        ),
    )


def silence_plan(outage: Outage, config: Config, now_us: int) -> Plan:
    """The notice goes to whoever leads the CSMs, on the channels where calls would have been announced."""
    product = config.products.get(outage.product, ProductSection())
    used = dict.fromkeys(channel for playbook in product.playbooks for channel in playbook.send)
    channels = product.guard.send or tuple(n for n in used if config.channels[n].kind != "webhook")
    leads = [csm.lead for csm in config.csms.values() if csm.lead is not None]
    return Plan(
        kind="note",
        title={"ja": "製品の障害の疑い。架電を保留しました", "en": "Product may be down: calls are held"},
        owner=max(set(leads), key=lambda lead: (leads.count(lead), lead)) if leads else None,
        channels=channels,
        contact=Contact(zone=outage.zone),
        lifetime_us=None,
        times=Times(notify_us=now_us, due_us=None, expires_us=None),
    )
