"""Whether stops foretell who leaves, and how long before: triggers held against outcomes. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from statistics import median, quantiles
from typing import Final

import msgspec

from services.commands.outcomes import Outcome
from shared.triggers import Trigger

HORIZON_DAYS: Final = 90
"""So long before an outcome a stop is taken to speak of it."""


class Silence(msgspec.Struct, frozen=True):
    """A stop and the day of use that ended it, as ordinals; None: nothing has."""

    stopped_on: int
    resumed_on: int | None


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Customers that one kind of sign was given of, how many of them left, and how many days it was early."""

    sign: str
    customer_count: int
    left_count: int
    lead_days: tuple[int, ...]

    @property
    def precision(self) -> float:
        return self.left_count / self.customer_count if self.customer_count else 0.0

    @property
    def lead_quartiles(self) -> tuple[float, float, float] | None:
        """A quarter, half and three quarters of those who left were called so many days before, or less."""
        if not self.lead_days:
            return None
        if len(self.lead_days) == 1:
            return (float(self.lead_days[0]),) * 3
        low, _, high = quantiles(self.lead_days, n=4, method="inclusive")
        return low, median(self.lead_days), high


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """Of the customers whose outcome lies in the days replayed: how many left, and what foretold it."""

    customer_count: int
    left_count: int
    outside_count: int
    undated_count: int
    signs: tuple[Warned, ...]


def silences(stops: Iterable[Trigger], triggers: Iterable[Trigger]) -> dict[str, list[Silence]]:
    """The stops of each customer with what ended them."""
    ended = {t.data.stopped_id: t.data.day.toordinal() for t in triggers if t.data.stopped_id is not None}
    found: dict[str, list[Silence]] = {}
    for stop in stops:
        silence = Silence(stop.data.day.toordinal(), ended.get(stop.id))
        found.setdefault(stop.data.customer.id, []).append(silence)
    return found


def foresee(
    found: Mapping[str, list[Silence]], outcomes: Mapping[str, Outcome], first_on: date, last_on: date
) -> Foresight:
    """Looks back from each outcome; one whose day nobody told is taken to be known after the last day.

    Only outcomes with the whole horizon in the days replayed count: before it nobody could have been told.
    """
    earliest, after = first_on.toordinal() + HORIZON_DAYS, last_on.toordinal() + 1
    known = {id: after if one.known_on is None else one.known_on for id, one in outcomes.items()}
    inside = [id for id, day in known.items() if earliest <= day <= after]
    lefts = [id for id in inside if not outcomes[id].stayed]
    raised = {id: _first_raised(found.get(id, []), known[id]) for id in inside}
    standing = {id: _standing(found.get(id, []), known[id]) for id in inside}
    return Foresight(
        customer_count=len(inside),
        left_count=len(lefts),
        outside_count=len(known) - len(inside),
        undated_count=sum(outcomes[id].known_on is None for id in lefts),
        signs=(
            _warned(f"a stop in the {HORIZON_DAYS} days before", raised, known, lefts),
            _warned("a stop still standing on the day", standing, known, lefts),
        ),
    )


def _first_raised(of_customer: Iterable[Silence], known_on: int) -> int | None:
    days = [s.stopped_on for s in of_customer if known_on - HORIZON_DAYS <= s.stopped_on < known_on]
    return min(days, default=None)


def _standing(of_customer: Iterable[Silence], known_on: int) -> int | None:
    days = [
        s.stopped_on
        for s in of_customer
        if s.stopped_on < known_on and (s.resumed_on is None or s.resumed_on >= known_on)
    ]
    return max(days, default=None)


def _warned(
    sign: str, day_of: Mapping[str, int | None], known: Mapping[str, int], lefts: Iterable[str]
) -> Warned:
    leads = tuple(sorted(known[id] - day for id in lefts if (day := day_of[id]) is not None))
    return Warned(
        sign=sign,
        customer_count=sum(day is not None for day in day_of.values()),
        left_count=len(leads),
        lead_days=leads,
    )
