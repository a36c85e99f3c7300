"""Who can be compared: customers whose beginning lies in the data, and whose outcome came after it. Pure."""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from services.commands.discovery.habits import EVERY_EVENT, WINDOWS_DAYS, Anchor
from services.commands.outcomes import Outcome
from shared.events import Profile

BEGINNING_DAYS: Final = 7
"""Who is first seen in so many first days of the data may have used the product long before."""

Uses = Mapping[str, Mapping[int, int]]
"""For each event name, and `*` for all of them: usage day to how many distinct events it has."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One customer of the comparison. `reach`: the longest window that is whole and before its outcome.

    Days are counted from `began_on`, which is 0: `early` has the uses of the longest window, `active` all
    active days.
    """

    customer_id: str
    began_on: int
    stayed: bool
    reach: int
    early: Uses
    active: frozenset[int]


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """The members by id, why others were left out, and whose outcome has no day of its own."""

    members: tuple[Member, ...]
    left_out: Mapping[str, int]
    undated_count: int
    last_on: int


def gather(
    uses: Mapping[str, Uses],
    profiles: Mapping[str, Profile],
    outcomes: Mapping[str, Outcome],
    *,
    anchor: Anchor,
) -> Cohort:
    """The customers of which a whole window is known before their outcome was: none looks ahead of it."""
    days = [day for of_customer in uses.values() for day in of_customer[EVERY_EVENT]]
    first_on, last_on = min(days), max(days)
    left_out: Counter[str] = Counter()
    members = []
    for id in sorted(profiles.keys() | uses.keys()):
        found = _member(id, uses.get(id, {}), profiles, outcomes, anchor, first_on, last_on)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            members.append(found)
    undated = sum(outcomes[member.customer_id].known_on is None for member in members if not member.stayed)
    return Cohort(members=tuple(members), left_out=left_out, undated_count=undated, last_on=last_on)


def is_held_out(customer_id: str, seed: int) -> bool:
    """Half of the customers, by a hash of their ids: the same ones whatever else the file holds."""
    return blake2b(f"{seed}:{customer_id}".encode(), digest_size=1).digest()[0] % 2 == 1


def _member(
    id: str,
    uses: Uses,
    profiles: Mapping[str, Profile],
    outcomes: Mapping[str, Outcome],
    anchor: Anchor,
    first_on: int,
    last_on: int,
) -> Member | str:
    """The member, or why this customer cannot be one."""
    if id not in profiles:
        return "not in the customers file"
    if id not in outcomes:
        return "without an outcome"
    began_on = _began_on(uses, profiles[id], anchor, first_on)
    if isinstance(began_on, str):
        return began_on
    reach = _reach(began_on, outcomes[id].known_on, last_on)
    if not reach:
        return f"without {WINDOWS_DAYS[0]} whole days in the data before the outcome"
    early = {event: _first_days(counts, began_on) for event, counts in uses.items()}
    active = frozenset(day - began_on for day in uses.get(EVERY_EVENT, ()) if day >= began_on)
    return Member(
        customer_id=id, began_on=began_on, stayed=outcomes[id].stayed, reach=reach, early=early, active=active
    )


def _first_days(counts: Mapping[int, int], began_on: int) -> dict[int, int]:
    return {day - began_on: n for day, n in counts.items() if 0 <= day - began_on < WINDOWS_DAYS[-1]}


def _began_on(uses: Uses, profile: Profile, anchor: Anchor, first_on: int) -> int | str:
    contract_on = profile.contract_started_on.toordinal() if profile.contract_started_on else None
    if contract_on is not None and contract_on < first_on:
        return "began before the data"
    if anchor == "contract_started_on":
        return "without contract_started_on" if contract_on is None else contract_on
    if not uses:
        return "without any use"
    began_on = min(uses[EVERY_EVENT])
    if contract_on is None and began_on < first_on + BEGINNING_DAYS:
        return f"first seen in the first {BEGINNING_DAYS} days of the data, so perhaps older than it"
    return began_on


def _reach(began_on: int, known_on: int | None, last_on: int) -> int:
    whole_until = last_on if known_on is None else min(last_on, known_on - 1)
    return max((window for window in WINDOWS_DAYS if began_on + window - 1 <= whole_until), default=0)
