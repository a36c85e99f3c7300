"""A task in the words of a page: as a row of the list, as a card, as its trail. Pure."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from services.notifier.messages import status, wording
from services.notifier.messages.render import dialled
from services.notifier.messages.words import Words
from services.notifier.planning.guard import outage_id
from services.notifier.planning.listing import Opening, opening_of
from services.notifier.planning.notices import SILENCE
from services.notifier.planning.zones import instant_of, local_day, zone
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.ledger import HistoryLine
from services.notifier.tasks.lifecycle import SYSTEM, Task
from shared.config import CsmSection


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the list. `is_open`: the customer may be called now; `when` says until when, or from when."""

    task: Task
    name: str
    headline: str
    summary: str
    owner: str
    is_open: bool
    when: str
    badges: tuple[tuple[str, str], ...]
    surprise: int | None


def row_of(task: Task, words: Words, csms: Mapping[str, CsmSection], now_us: int) -> Row:
    """A task as the list shows it."""
    opening = opening_of(task.plan.contact, now_us)
    share = task.trigger.data.surprise
    return Row(
        task=task,
        name=wording.customer(task, words),
        headline=wording.headline(task, words),
        summary=_summary(task, words),
        owner=owner_said(task.owner, csms, words),
        is_open=opening.is_open,
        when=_when(task, words, opening, now_us),
        badges=badges(task, words, csms),
        surprise=None if share is None else min(99, round(share * 100)),
    )


def _summary(task: Task, words: Words) -> str:
    """One line: of a stop the habit that was broken, which tells calls apart; else what it is about."""
    streak = task.trigger.data.streak
    if not task.trigger.type.endswith(".stopped") or streak.last_active_on is None:
        return wording.headline(task, words)
    habit = words.count("%(n)s active day", "%(n)s active days", streak.length)
    return words.say("%(habit)s, last on %(day)s", habit=habit, day=words.day(streak.last_active_on))


def _when(task: Task, words: Words, opening: Opening, now_us: int) -> str:
    customer_zone = zone(task.plan.contact.zone)
    if task.state == "snoozed" and task.snoozed_until_us is not None:
        return words.say("until %(time)s", time=_short(task.snoozed_until_us, task, words, now_us))
    if opening.is_open:
        if opening.closes_us is None:
            return words.say("any time")
        return words.say("until %(time)s", time=words.time(opening.closes_us, customer_zone))
    return words.say("from %(time)s", time=_short(opening.opens_us, task, words, now_us))


def _short(at_us: int, task: Task, words: Words, now_us: int) -> str:
    customer_zone = zone(task.plan.contact.zone)
    if local_day(at_us, customer_zone) == local_day(now_us, customer_zone):
        return words.time(at_us, customer_zone)
    return words.moment(at_us, customer_zone)


def owner_said(owner: str | None, csms: Mapping[str, CsmSection], words: Words) -> str:
    """Whose call it is: a name, else the id as it is, else nobody."""
    if not owner:
        return words.say("nobody's")
    return words.colleague(csms[owner].name) if owner in csms else owner


def badges(task: Task, words: Words, csms: Mapping[str, CsmSection]) -> tuple[tuple[str, str], ...]:
    """Short marks with their kind: who has it in hand, escalated, unverified, held."""
    found = []
    if task.state == "acknowledged":
        by = owner_said(task.acknowledged_by, csms, words)
        found.append(("taken", words.say("in hand: %(name)s", name=by)))
    if task.escalated_us is not None and task.state in ("open", "notified"):
        found.append(("escalated", words.say("escalated")))
    if task.holder == "peers":
        found.append(("held", words.say("waits: common cause?")))
    if task.holder == "outage":
        found.append(("held", words.say("held: outage?")))
    if task.overflow and task.is_live:
        found.append(("overflow", words.say("beyond today's calls")))
    if task.unverified:
        found.append(("unverified", words.say("unverified")))
    if task.plan.problems:
        found.append(("problem", words.say("settings")))
    return tuple(found)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A task in full."""

    row: Row
    sentence: str
    dialled: str
    phone: str
    window: str
    local_time: str
    evidence: tuple[wording.Line, ...]
    reasons: tuple[str, ...]
    problems: tuple[str, ...]
    facts: tuple[wording.Line, ...]
    outage: str
    customer_path: str


def card_of(task: Task, words: Words, csms: Mapping[str, CsmSection], now_us: int) -> Card:
    """A task as its own page shows it."""
    phone = task.trigger.data.customer.phone or ""
    return Card(
        row=row_of(task, words, csms, now_us),
        sentence=_sentence(task, words),
        phone=phone,
        dialled=dialled(phone),
        window=wording.window(task, words),
        local_time=words.time(now_us, zone(task.plan.contact.zone)),
        evidence=wording.evidence(task, words),
        reasons=wording.reasons(task.trigger, words),
        problems=wording.problems(task, words),
        facts=_facts(task, words),
        outage=outage_id(task.trigger) or "" if task.trigger.type == SILENCE else "",
        customer_path="" if wording.is_notice(task) else customer_path(task.product, task.customer_id),
    )


def customer_path(product: str, customer_id: str) -> str:
    """Where a customer's own page is; ids may hold anything, so they are no part of a path."""
    return f"/customer?{urlencode({'product': product, 'id': customer_id})}"


def _sentence(task: Task, words: Words) -> str:
    """What happened, as one would say it."""
    data = task.trigger.data
    if task.trigger.type == SILENCE:
        return words.say(
            "%(n)s customers stopped at the same cutoff. Their calls are held.", n=data.count or 0
        )
    if data.cutoff_at is None:
        return wording.headline(task, words)
    at_us, customer_zone = instant_of(data.cutoff_at), zone(task.plan.contact.zone)
    if local_day(at_us, customer_zone) == data.day:
        return words.say(
            "No use by %(time)s on %(day)s.", day=words.day(data.day), time=words.time(at_us, customer_zone)
        )
    return words.say("No use all day on %(day)s.", day=words.day(data.day))


def silent_said(count: int, some: Sequence[Task], words: Words) -> str:
    """What else was silent on the same day: a customer alone is one thing, twenty at once another."""
    if not count:
        return words.say("nobody else")
    names = words.say(", ").join(wording.customer(task, words) for task in some)
    left = count - len(some)
    if left <= 0:
        return names
    return words.count("%(names)s and %(n)s other", "%(names)s and %(n)s others", left, names=names)


def _facts(task: Task, words: Words) -> tuple[wording.Line, ...]:
    customer = task.trigger.data.customer
    found = [wording.Line(words.say("Customer id"), customer.id)]
    if customer.segment:
        found.append(wording.Line(words.say("Segment"), customer.segment))
    if customer.mrr is not None:
        found.append(wording.Line(words.say("Monthly revenue"), f"{customer.mrr:,.0f}"))
    if customer.renewal_on is not None:
        found.append(wording.Line(words.say("Renewal"), words.day(customer.renewal_on, year=True)))
    return tuple(found)


# Trail and outcomes


class TrailLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit trail in words."""

    at: str
    said: str
    by: str
    detail: str


def trail_line(
    line: HistoryLine, words: Words, csms: Mapping[str, CsmSection], now_us: int, task: Task | None
) -> TrailLine:
    """A change as one would tell it; an unknown one by its code."""
    said = {
        "opened": words.say("Call task opened"),
        "updated": words.say("Still silent"),
        "notified": words.say("Sent"),
        "acknowledged": words.say("Taken"),
        "snoozed": words.say("Snoozed"),
        "woken": words.say("Back from snooze"),
        "escalated": words.say("Escalated"),
        "assigned": words.say("Handed over"),
        "done": words.say("Done"),
        "reopened": words.say("Undone"),
        "resumed": words.say("Usage resumed"),
        "retracted": words.say("Stop taken back"),
        "expired": words.say("Expired untouched"),
        "held": words.say("Held by the outage guard"),
        "waits": words.say("Waits: many fell silent at once"),
        "beyond_limit": words.say("Left for the digest: beyond the calls of the day"),
        "stopped_again": words.say("Stopped again, too soon for another call"),
        "released": words.say("Released"),
    }
    known_outcomes: dict[str, str] = dict(status.outcomes(words))
    detail = known_outcomes.get(line.note.detail, line.note.detail)
    if line.note.change in ("opened", "held"):
        detail = ""
    if line.note.change in ("assigned", "escalated"):
        detail = owner_said(line.note.detail, csms, words)
    customer_zone = zone(task.plan.contact.zone) if task is not None else zone("UTC")
    return TrailLine(
        at=words.moment(line.at_us, customer_zone),
        said=said.get(line.note.change, line.note.change),
        by="" if line.note.actor == SYSTEM else owner_said(line.note.actor, csms, words),
        detail=detail,
    )


def delivery_said(delivery: Delivery, words: Words) -> str:
    """How a delivery stands."""
    return {
        "pending": words.say("waiting"),
        "held": words.say("held"),
        "delivered": words.say("delivered"),
        "dead": words.say("given up"),
        "cancelled": words.say("not needed"),
    }[delivery.state]
