"""Replays one customer's history as if live: each day settled at its own deadline, each use in its time."""

from collections.abc import Iterable

import msgspec

from services.evaluator import engine
from services.evaluator.absence import deadline_us
from services.evaluator.calendar import MINUTE_US, closes_us, day_of, opens_us
from services.evaluator.notice import Notice
from services.evaluator.rules import EVERY_EVENT, AbsenceRule, Product
from services.evaluator.state import CustomerState
from shared.events import Profile
from shared.triggers import Trigger

_AFTER_CLOSE_US = 60 * MINUTE_US


class DatedUse(msgspec.Struct, frozen=True, order=True):
    """One use: its usage day where that alone is known (`day` > 0), else its instant."""

    occurred_us: int
    day: int = 0
    event: str = "used"


class Replayed(msgspec.Struct, frozen=True):
    """The state a replay ended in, and the triggers in order."""

    state: CustomerState
    triggers: tuple[Trigger, ...]


def replay_customer(
    customer_id: str, profile: Profile, uses: Iterable[DatedUse], *, product: Product, last_on: int
) -> Replayed:
    """Feeds uses through the core in the order of time; `last_on` is judged to its very end.

    A use known by its day alone is taken to occur when that day opens. A day is settled exactly at its
    deadline, after every use that occurred before it. What lies after `last_on` is left out.
    """
    state = engine.fresh(profile, product, known_us=0)
    settings = state.segments[0].settings
    zone, day_starts = settings.zone, settings.day_starts
    notices: list[Notice] = []
    none_excused: frozenset[int] = frozenset()
    for use in sorted(uses, key=lambda use: _instant(use, zone, day_starts)):
        read_us = _instant(use, zone, day_starts)
        day = use.day or day_of(zone, day_starts, read_us)
        if day > last_on:
            break
        if state.due_us is None or state.due_us <= read_us:
            state, settled = engine.settle_days(state, product, read_us + 1, None, none_excused)
            notices += settled
        placed = engine.Use(day, None if use.day else use.occurred_us, settings)
        state, observed = engine.observe(state, placed, use.event, product=product, decided_us=read_us)
        notices += observed
    state, settled = engine.settle_days(state, product, _end_us(state, product, last_on), None, none_excused)
    notices += [notice for notice in settled if notice.day <= last_on]
    return Replayed(state, engine.worded(state, product, customer_id, notices))


def _instant(use: DatedUse, zone: str, day_starts: int) -> int:
    return opens_us(zone, day_starts, use.day) if use.day else use.occurred_us


def _end_us(state: CustomerState, product: Product, last_on: int) -> int:
    """Just after the last deadline of the last day."""
    past = engine.past_of(state, EVERY_EVENT, frozenset())
    settings = past.settings_on(last_on)
    deadlines = [deadline_us(rule, past, last_on) for rule in product.rules if isinstance(rule, AbsenceRule)]
    return max([closes_us(settings.zone, settings.day_starts, last_on) + _AFTER_CLOSE_US, *deadlines]) + 1
