"""Which of a day's calls a CSM with a limit is handed, and which are left for the inbox and one digest."""

from collections.abc import Collection
from datetime import time, timedelta

import msgspec

from services.notifier.planning.contact import Contact, next_contact
from services.notifier.planning.plans import Plan
from services.notifier.planning.quiet import QuietDays
from services.notifier.planning.zones import instant_us, local_day, zone
from services.notifier.tasks.lifecycle import DAY, UNTOUCHED_STATES, Announcement, Note, Step, Task, altered
from shared.config import CsmSection

SETTLE_US = 3 * 1_000_000
"""A sweep brings its stops within seconds; the most surprising of them may come last."""

GATHER_US = 30 * 60 * 1_000_000
"""So long after the first call beyond the limit the digest goes out, with whatever has joined it."""

SEGMENTS = ("high-touch", "mid-touch", "low-touch", "tech-touch")
"""Of two calls as surprising, the one of the earlier segment is made; unknown segments come last."""


class CallDay(msgspec.Struct, frozen=True, kw_only=True):
    """One CSM's day: how many calls were handed out on it, and when the others are told of."""

    id: str
    handed_count: int = 0
    digest_us: int | None = None
    wake_us: int | None = None

    @property
    def csm_id(self) -> str:
        return self.id.removeprefix(DAY).rpartition("/")[0]


class Allotment(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a day's calls now: handed out, beyond the limit; the others wait until `next_us`."""

    handed: tuple[Task, ...]
    beyond: tuple[Task, ...]
    next_us: int | None


def day_of(plan: Plan, owner: str | None) -> str | None:
    """The CSM's day on which a call goes out, where its owner has a limit; else None."""
    if not plan.is_limited or owner is None or plan.contact.hours_zone is None:
        return None
    day = local_day(plan.times.notify_us, zone(plan.contact.hours_zone))
    return f"{DAY}{owner}/{day.isoformat()}"


def settled_us(task: Task) -> int:
    """When it is decided of a call whether it is one of the day's."""
    return task.plan.times.notify_us + SETTLE_US


def allot(day: CallDay, waiting: Collection[Task], calls_max: int | None, now_us: int) -> Allotment:
    """Hands out the most surprising of the day's calls, as far as there is room and their windows are open.

    A surprising call whose window opens later keeps its place, one that somebody has taken needs none. What
    has no place is put by when its own time has come, for until then somebody before it may come back.
    """
    taken = [task for task in waiting if task.state not in UNTOUCHED_STATES]
    ordered = sorted((task for task in waiting if task.state in UNTOUCHED_STATES), key=_rank)
    room = len(ordered) if calls_max is None else max(0, calls_max - day.handed_count - len(taken))
    later = [settled_us(task) for task in ordered if settled_us(task) > now_us]
    return Allotment(
        handed=(*taken, *(task for task in ordered[:room] if settled_us(task) <= now_us)),
        beyond=tuple(task for task in ordered[room:] if settled_us(task) <= now_us),
        next_us=min(later, default=None),
    )


def _rank(task: Task) -> tuple[float, int, float, str]:
    """By surprise, segment and revenue; the id decides between what is alike."""
    data = task.trigger.data
    segment = data.customer.segment or ""
    place = SEGMENTS.index(segment) if segment in SEGMENTS else len(SEGMENTS)
    return -(data.surprise or 0.0), place, -(data.customer.mrr or 0.0), task.id


def handed(task: Task, now_us: int) -> Step:
    """One of the day's calls goes out."""
    return Step(task=altered(task, now_us, held=None), frees=True)


def put_by(task: Task, digest_us: int, now_us: int) -> Step:
    """A call beyond the day's stays in the inbox, and is told of together with the others."""
    left = altered(task, now_us, held=None, overflow=True)
    digest = Announcement(kind="digest", trigger=task.trigger, from_us=digest_us, to_machines=False)
    return Step(task=left, notes=(Note(change="beyond_limit"),), announcements=(digest,), withdraws="held")


def digest_us(day: CallDay, csm: CsmSection, contact: Contact, now_us: int) -> int:
    """When the calls beyond the limit that are known by now are told of, within the CSM's hours.

    What comes after the day's digest has gone out is told of on the next day.
    """
    its_zone = zone(csm.time_zone)
    today = local_day(now_us, its_zone)
    at_us = day.digest_us
    if at_us is None:
        at_us = now_us + GATHER_US if csm.digest_at is None else instant_us(today, csm.digest_at, its_zone)
    if at_us < now_us:
        at_us = instant_us(today + timedelta(days=1), csm.digest_at or time(), its_zone)
    span = next_contact(at_work(contact), at_us)
    return max(at_us, span[0]) if span is not None else at_us


def with_digest(day: CallDay, at_us: int) -> CallDay:
    """The day's digest is set once, by the first call beyond the limit."""
    return day if day.digest_us is not None else msgspec.structs.replace(day, digest_us=at_us)


def at_work(contact: Contact) -> Contact:
    """When the CSM works, whenever the customer may be called."""
    return msgspec.structs.replace(contact, window=None, quiet=QuietDays())
