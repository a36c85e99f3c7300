"""The order in which a CSM works through calls: which windows come first, before any task is read. Pure.

A list may hold thousands of tasks, but they share a handful of contact windows. So the windows are put
in order, and of each no more tasks are read than are shown.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from services.notifier.planning.contact import Contact, next_contact
from services.notifier.planning.zones import local_day, zone

Waiting = Literal["", "held", "peers", "snoozed"]
"""What a live task waits for besides its window: nothing, the outage guard, the days after a common cause, or
whoever put it off."""

PartKey = Literal["now", "held", "peers", "later", "days", "snoozed"]
PART_KEYS: tuple[PartKey, ...] = get_args(PartKey)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Live tasks that may be called at the same times; `contact_text` is how their rows have the contact."""

    contact: Contact
    contact_text: str
    waiting: Waiting
    count: int


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """When a customer may be called next: from `opens_us`, and until `closes_us` where there is a window."""

    is_open: bool
    opens_us: int
    closes_us: int | None

    @property
    def rank(self) -> tuple[bool, int]:
        """What closes first (or opens first) comes first; what has no window can wait for what has one."""
        at_us = self.closes_us if self.is_open else self.opens_us
        return at_us is None, at_us or 0


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of one rank: within it the tasks follow by surprise alone."""

    contact_texts: tuple[str, ...]
    count: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list under its own heading; `count` tasks, in the order of the stacks."""

    key: PartKey
    waiting: Waiting
    count: int
    stacks: tuple[Stack, ...]


class Helping(msgspec.Struct, frozen=True, kw_only=True):
    """What to read of a part to show its first rows: whole stacks first, then the top of the next one."""

    whole: tuple[Stack, ...]
    whole_count: int
    top_of: Stack | None
    top_count: int


@lru_cache(maxsize=4096)
def opening_of(contact: Contact, now_us: int) -> Opening:
    """When a customer with these windows may be called next; asked once a list, however many share them."""
    span = next_contact(contact, now_us)
    opens_us = max(now_us, span[0]) if span is not None else now_us
    has_window = contact.window is not None and span is not None
    return Opening(
        is_open=opens_us <= now_us,
        opens_us=opens_us,
        closes_us=span[1] if span is not None and has_window else None,
    )


def parts_of(groups: Iterable[Group], now_us: int) -> tuple[Part, ...]:
    """What can be called now, what opens later today, what comes another day; empty parts left out."""
    found: dict[PartKey, list[tuple[tuple[bool, int], Group]]] = {key: [] for key in PART_KEYS}
    for group in groups:
        opening = opening_of(group.contact, now_us)
        found[_part(group, opening, now_us)].append((opening.rank, group))
    return tuple(_part_of(key, ranked) for key, ranked in found.items() if ranked)


def _part(group: Group, opening: Opening, now_us: int) -> PartKey:
    if group.waiting != "":
        return group.waiting
    if opening.is_open:
        return "now"
    customer_zone = zone(group.contact.zone)
    is_today = local_day(opening.opens_us, customer_zone) == local_day(now_us, customer_zone)
    return "later" if is_today else "days"


def _part_of(key: PartKey, ranked: Sequence[tuple[tuple[bool, int], Group]]) -> Part:
    by_rank: dict[tuple[bool, int], list[Group]] = {}
    for rank, group in ranked:
        # What is put off comes back when it was told to, whatever its window.
        by_rank.setdefault((False, 0) if key == "snoozed" else rank, []).append(group)
    stacks = tuple(
        Stack(
            contact_texts=tuple(group.contact_text for group in some),
            count=sum(group.count for group in some),
        )
        for _, some in sorted(by_rank.items(), key=lambda item: item[0])
    )
    return Part(
        key=key, waiting=ranked[0][1].waiting, count=sum(stack.count for stack in stacks), stacks=stacks
    )


def helping(part: Part, rows_max: int) -> Helping:
    """The stacks that hold the first `rows_max` tasks of a part."""
    whole: list[Stack] = []
    left = rows_max
    for stack in part.stacks:
        if stack.count > left:
            return Helping(
                whole=tuple(whole),
                whole_count=rows_max - left,
                top_of=stack if left else None,
                top_count=left,
            )
        whole.append(stack)
        left -= stack.count
    return Helping(whole=tuple(whole), whole_count=rows_max - left, top_of=None, top_count=0)
