"""The stops of one cutoff together: many may be one cause, and their calls are then no separate calls.

    watching -> clear                 (few stopped, or no more can: their calls go out)
    clear -> watching                 (a batch brings so many more that it has to be asked again)
    watching, clear -> common         (one in twenty: a holiday, a storm; calls wait for the days after it)
    common -> over                    (the days after it were ordinary: who is still silent is called)
    watching, clear, common -> held   (one in three: the product is the suspect; a notice goes out)
    held, common -> released          (a person says that the calls are right)
    held -> dissolved                 (late events took so many stops back that it was none)
    held -> unverified                (nobody said anything in time: calls go out marked so)

Facts stay facts: calls are held, never triggers, and nothing is dropped.
"""

import math
from collections.abc import Collection
from datetime import date, timedelta
from typing import Literal

import msgspec

from services.notifier.planning import peers
from services.notifier.planning.contact import Contact
from services.notifier.planning.notices import SILENCE
from services.notifier.planning.plans import Plan, Times
from services.notifier.planning.zones import instant_of, instant_us, zone
from shared.clock import from_us, rfc3339
from shared.config import Config, GuardSection, ProductSection
from shared.errors import Conflict
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, trigger_id

State = Literal["watching", "clear", "common", "over", "held", "released", "dissolved", "unverified"]
HOLDING: tuple[State, ...] = ("watching", "common", "held")

LOOK_US = 250_000
"""So often it is asked whether a sweep can still bring too many stops."""

QUIET_US = 2 * 1_000_000
"""Where that cannot be told, a sweep is taken to be over when no stop of it has come for so long,"""

WATCH_US_MAX = 10 * 1_000_000
"""and is not waited for longer than this."""

LAG_US_MAX = 2 * 3600 * 1_000_000
"""A day that is not settled so long after its cutoff is not waited for: calls are late enough."""

COHORT_DAYS = 8
_MICROSECOND = timedelta(microseconds=1)


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The stops of one product, rule and cutoff. `cohort_count` is how many customers had that cutoff;
    0 while there were so few stops that nobody counted them.

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


def needed_in_common(cohort_count: int, section: ProductSection) -> int | None:
    """So many stops at one cutoff have a common cause; None where a product does not ask."""
    if section.peers is None:
        return None
    return peers.needed(cohort_count, section.peers.share, section.peers.min_customers)


def fewest(cohort_count: int, section: ProductSection) -> int:
    """With fewer stops than this of so many customers no call is ever held."""
    alone, in_common = needed(cohort_count, section.guard), needed_in_common(cohort_count, section)
    return alone if in_common is None else min(alone, in_common)


def opened(trigger: Trigger, zone: str, now_us: int, *, is_lone: bool = False) -> Outage:
    """The first stop of a cutoff has been read; its call waits until it is known how many there are.

    `is_lone`: there cannot be so many that it would matter.
    """
    return Outage(
        id=outage_id(trigger) or "",
        product=trigger.data.product,
        rule=trigger.data.rule,
        cutoff_us=instant_of(trigger.data.cutoff_at or trigger.data.decided_at),
        day=trigger.data.day,
        zone=zone,
        state="clear" if is_lone else "watching",
        stopped_count=0,
        cohort_count=0,
        opened_us=now_us,
        changed_us=now_us,
        wake_us=None if is_lone else now_us + LOOK_US,
    )


def counted(outage: Outage, now_us: int) -> Outage:
    """One more stop of this cutoff."""
    grown = _changed(outage, now_us, stopped_count=outage.stopped_count + 1)
    # Of a common cause every call is told at once why it waits.
    return _changed(grown, now_us, wake_us=now_us) if outage.state == "common" else grown


def weighed(outage: Outage, cohort_count: int, section: ProductSection, now_us: int) -> Outage:
    """Whether so many of `cohort_count` customers are too many; holds from then on if so."""
    known = _changed(outage, now_us, cohort_count=cohort_count)
    if outage.state not in ("watching", "clear", "common"):
        return known
    if outage.stopped_count >= needed(cohort_count, section.guard):
        return _changed(known, now_us, state="held", wake_us=now_us + section.guard.hold // _MICROSECOND)
    if outage.state != "common" and has_common_cause(known, section):
        return _changed(known, now_us, state="common", wake_us=now_us)
    return known


def watched_again(outage: Outage, now_us: int) -> Outage:
    """More stops come than there seemed to be: their calls wait until it is known how many."""
    return _changed(outage, now_us, state="watching", opened_us=now_us, wake_us=now_us + LOOK_US)


def has_common_cause(outage: Outage, section: ProductSection) -> bool:
    """Whether one in so many customers stopped at this cutoff, whatever has become of it since."""
    in_common = needed_in_common(outage.cohort_count, section)
    return in_common is not None and outage.cohort_count > 0 and outage.stopped_count >= in_common


def taken_back(outage: Outage, section: ProductSection, now_us: int) -> Outage:
    """One stop fewer: late events have shown that the customer was there."""
    fewer = _changed(outage, now_us, stopped_count=max(0, outage.stopped_count - 1))
    if outage.state == "held" and fewer.stopped_count < needed(outage.cohort_count, section.guard):
        return _changed(fewer, now_us, state="dissolved", wake_us=now_us, closed_by="system")
    if outage.state == "common" and not has_common_cause(fewer, section):
        return _changed(fewer, now_us, state="over", wake_us=now_us, closed_by="system")
    return fewer


def looked(outage: Outage, now_us: int, *, can_be_many: bool) -> Outage:
    """What becomes of a cutoff that is watched; `can_be_many`: as far as is known, so many stops may come."""
    is_quiet = now_us >= min(outage.changed_us + QUIET_US, outage.opened_us + WATCH_US_MAX)
    if is_quiet or not can_be_many:
        return _changed(outage, now_us, state="clear", wake_us=now_us)
    return msgspec.structs.replace(outage, wake_us=now_us + LOOK_US)


def expired(outage: Outage, now_us: int) -> Outage:
    """Nobody has said anything of a suspected outage in time."""
    return _changed(outage, now_us, state="unverified", wake_us=now_us, closed_by="system")


def waited(
    outage: Outage, common_days: Collection[int], grace: timedelta, now_us: int, *, is_settled: bool
) -> Outage:
    """What the days after a common cause have shown; `common_days` are those that had one too, 1 the next.

    `is_settled`: of the days that have passed nobody is still to be judged.
    """
    day = peers.release_day(0, {0, *common_days})
    over_us = deadline_us(outage, day, grace) + WATCH_US_MAX
    if now_us < over_us:
        return msgspec.structs.replace(outage, wake_us=over_us)
    if not is_settled and now_us < over_us + LAG_US_MAX:
        return msgspec.structs.replace(outage, wake_us=now_us + WATCH_US_MAX)
    return _changed(outage, now_us, state="over", wake_us=now_us, closed_by="system")


def released(outage: Outage, actor: str, now_us: int) -> Outage:
    """A person says that the customers did stop. Doing it twice is once; raises Conflict when it is over."""
    if outage.state == "released":
        return outage
    if outage.state not in ("held", "common"):
        raise Conflict(f"nothing is held any more: {outage.id} is {outage.state}", code="not_held")
    return _changed(outage, now_us, state="released", wake_us=now_us, closed_by=actor)


def let_go(outage: Outage, now_us: int) -> Outage:
    """Every call that it held is on its way."""
    return _changed(outage, now_us, wake_us=None)


def _changed(outage: Outage, now_us: int, **values: object) -> Outage:
    return msgspec.structs.replace(outage, changed_us=now_us, **values)


def deadlines_us(outage: Outage, grace: timedelta) -> tuple[int, ...]:
    """When customers with this cutoff are next judged: at it, if they were not yet, or on a day after."""
    return tuple(deadline_us(outage, n, grace) for n in range(COHORT_DAYS + 1))


def deadline_us(outage: Outage, day: int, grace: timedelta) -> int:
    """When the cutoff so many days after this one is settled."""
    return cutoff_after_us(outage, day) + grace // _MICROSECOND


def cutoff_after_us(outage: Outage, day: int) -> int:
    """The same cutoff so many days later: by local time and not by 24 hours, so that a change of clocks moves
    nobody into another cohort."""
    if day == 0:
        return outage.cutoff_us
    its_zone = zone(outage.zone)
    local = from_us(outage.cutoff_us).astimezone(its_zone)
    return instant_us(local.date() + timedelta(days=day), local.time(), its_zone)


def id_after(outage: Outage, day: int) -> str:
    """The outage of the same product, rule and cutoff so many days later."""
    return f"{outage.product}/{outage.rule}/{rfc3339(cutoff_after_us(outage, day))}"


def silence_trigger(outage: Outage, now_us: int) -> Trigger:
    """The one notice of an outage, in the shape of every other trigger.

    Its customer is the outage: two zones, or two days, are two notices that may be open together.
    """
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
                id=outage.id,
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
