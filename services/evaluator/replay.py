"""Replays one customer's history as if live: each day settled at its own deadline, each use in its time.

In the order of time nothing arrives late, so no rule has to be folded use by use: each reads the history as
a whole. That it ends in the same triggers as the fold is tested, not assumed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from services.evaluator import engine
from services.evaluator.core import absence, counts, declines, kinds, never_started, profiles, streaks
from services.evaluator.core.calendar import day_of
from services.evaluator.core.days import each, set_of
from services.evaluator.core.filters import asks_for_properties, named_filters, passed_filters
from services.evaluator.core.history import History, read_whole
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import NONE_EXCUSED, Past, past_of
from services.evaluator.core.rules import (
    AbsenceRule,
    CountRule,
    DeclineRule,
    NeverStartedRule,
    Product,
    Rule,
    Settings,
    StreakRule,
)
from services.evaluator.core.state import CustomerState, NeverStartedState, RuleState
from shared.events import Profile
from shared.triggers import Trigger


class DatedUse(msgspec.Struct, frozen=True):
    """One use: its instant, or None and the usage day that alone is known.

    Without an `event_id` it is the same event as another one that says the same.
    """

    occurred_us: int | None
    day: int = 0
    event: str = "used"
    event_id: str = ""
    user_id: str = ""
    properties: Mapping[str, Any] = {}


class Uses(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's uses, in any order. `days`: by the name of their event the usage days of those of which
    nothing else is known, or asked; an integer each, for there are many.
    """

    dated: Sequence[DatedUse] = ()
    days: Mapping[str, Sequence[int]] = {}

    def each(self) -> Iterator[DatedUse]:
        """All of them as what they are."""
        yield from self.dated
        for event, known in self.days.items():
            for day in known:
                yield DatedUse(None, day, event)


class Replayed(msgspec.Struct, frozen=True):
    """The state a replay ended in, and the triggers in the order of their decisions."""

    state: CustomerState
    triggers: tuple[Trigger, ...]


def asks_for_days_alone(product: Product) -> bool:
    """Whether of a use known by its day nothing but the name of its event makes a difference."""
    counted = any(isinstance(rule, CountRule) and not rule.of_days for rule in product.rules)
    return not counted and not any(map(asks_for_properties, product.filters))


def replay_customer(
    customer_id: str, profile: Profile, uses: Uses, *, product: Product, last_on: int
) -> Replayed:
    """Reads a customer's uses in the order of time; `last_on` is judged to its very end.

    A use known by its day alone is taken to occur when that day opens. A day is settled exactly at its
    deadline, after every use that occurred before it. What lies after `last_on` is left out.
    """
    state, histories = _begun(profile, uses, product, last_on)
    rules: dict[str, RuleState] = {}
    notices: list[Notice] = []
    for rule in product.rules:
        kept, told = _read(rule, state.rules.get(rule.name), histories[rule.filter], uses, product)
        if kept is not None:
            rules[rule.name] = kept
        notices += told
    notices.sort(key=_decided_us)
    state = kinds.with_rules(state, product, rules)
    return Replayed(state, engine.worded(state, product, customer_id, notices))


def judge_customer(profile: Profile, uses: Uses, *, product: Product, last_on: int) -> CustomerState:
    """The state that `replay_customer` ends in: all that is decided, and nothing of it told."""
    state, histories = _begun(profile, uses, product, last_on)
    rules: dict[str, RuleState] = {}
    for rule in product.rules:
        history = histories[rule.filter]
        kept: RuleState | None
        if isinstance(rule, AbsenceRule):
            kept = absence.judge_history(rule, history) if history.past.active else None
        else:
            kept, _ = _read(rule, state.rules.get(rule.name), history, uses, product)
        if kept is not None:
            rules[rule.name] = kept
    return kinds.with_rules(state, product, rules)


def _begun(
    profile: Profile, uses: Uses, product: Product, last_on: int
) -> tuple[CustomerState, dict[str, History]]:
    """A customer with all its active days, of which no rule has said anything, and its history by filter."""
    state = profiles.fresh(profile, product, known_us=0)
    base, active, instants = _first_reads(uses, state.segments[0].settings, product, last_on)
    state = msgspec.structs.replace(state, base=base, active=active)
    if active:
        state = msgspec.structs.replace(state, rules=kinds.first_used(state, product, 0, backfill=False))
    histories = {
        key: read_whole(past_of(state, key, NONE_EXCUSED), instants.get(key, {}), last_on=last_on)
        for key in product.filters
    }
    return state, histories


def _first_reads(
    uses: Uses, settings: Settings, product: Product, last_on: int
) -> tuple[int, dict[str, int], dict[str, dict[int, int]]]:
    """The first active day; and by filter the active days from it on, with the instant of the first use on
    each of those that have none known by its day alone.
    """
    dated = _first_dated(uses.dated, settings, product, last_on)
    known = {event: _until(days, last_on) for event, days in uses.days.items()}
    edges = [min(days) for days in (*dated.values(), *known.values()) if days]
    base = min(edges, default=0)
    active = {key: set_of(list(reads), base) for key, reads in dated.items() if reads}
    instants = {key: {day: us for day, us in reads.items() if us is not None} for key, reads in dated.items()}
    for event, days in known.items():
        for key in passed_filters(product.filters, event, {}) if days else ():
            active[key] = active.get(key, 0) | set_of(days, base)
            if of_filter := instants.get(key):
                for day in days:
                    of_filter.pop(day, None)
    return base, active, instants


def _until(days: Sequence[int], last_on: int) -> Sequence[int]:
    return days if not days or max(days) <= last_on else [day for day in days if day <= last_on]


def _first_dated(
    uses: Sequence[DatedUse], settings: Settings, product: Product, last_on: int
) -> dict[str, dict[int, int | None]]:
    """For each filter the first use on each usage day; one known by its day alone is read when that opens."""
    zone, day_starts = settings.zone, settings.day_starts
    found: dict[str, dict[int, int | None]] = {}
    passed: dict[str, list[dict[int, int | None]]] = {}
    for use in uses:
        occurred_us = use.occurred_us
        day = use.day if occurred_us is None else day_of(zone, day_starts, occurred_us)
        if day > last_on:
            continue
        into = passed.get(use.event)
        if into is None:
            keys = passed_filters(product.filters, use.event, use.properties)
            into = [found.setdefault(key, {}) for key in keys]
            if not named_filters(product.filters, use.event)[1]:
                passed[use.event] = into  # the name alone decides
        for reads in into:
            first_us = reads.setdefault(day, occurred_us)
            if first_us is not None and (occurred_us is None or occurred_us < first_us):
                reads[day] = occurred_us
    return found


def _read(
    rule: Rule, kept: RuleState | None, history: History, uses: Uses, product: Product
) -> tuple[RuleState | None, list[Notice]]:
    if isinstance(rule, CountRule):
        return counts.read_history(rule, kept, history, _events_of(rule, uses, history, product))
    if isinstance(rule, NeverStartedRule):
        return _read_start(rule, kept, history)
    if not history.past.active:
        return None, []
    if isinstance(rule, StreakRule):
        return streaks.read_history(rule, history)
    if isinstance(rule, DeclineRule):
        return declines.read_history(rule, history)
    return absence.read_history(rule, history)


def _events_of(rule: CountRule, uses: Uses, history: History, product: Product) -> list[counts.Read]:
    """The uses that a count looks at, as they are read; where it counts days, the first one of each."""
    past = history.past
    settings = past.segments[0].settings
    if rule.of_days:
        active = [past.base + bit for bit in each(past.active)]
        found = [counts.Read(history.read_us(day), day, history.instants.get(day), "") for day in active]
        return sorted(found, key=_read_us)
    found = []
    for use in uses.each():
        us = use.occurred_us
        day = use.day if us is None else day_of(settings.zone, settings.day_starts, us)
        if day <= history.last_on and rule.filter in passed_filters(
            product.filters, use.event, use.properties
        ):
            found.append(counts.Read(past.opens_us(day) if us is None else us, day, us, _identity(use)))
    return sorted(found, key=_read_us)


def _identity(use: DatedUse) -> str:
    return use.event_id or repr(
        (use.occurred_us, use.day, use.event, use.user_id, sorted(use.properties.items(), key=str))
    )


def _read_us(read: counts.Read) -> int:
    return read.read_us


def _read_start(
    rule: NeverStartedRule, kept: RuleState | None, history: History
) -> tuple[RuleState | None, list[Notice]]:
    """The window is judged at its deadline, with the uses read before it; a later one ends the wait."""
    if not isinstance(kept, NeverStartedState) or never_started.last_day(rule, kept) > history.last_on:
        return kept, []
    past = history.past
    deadline = never_started.due_us(rule, kept, past)
    assert deadline is not None
    read_us = {past.base + bit: history.read_us(past.base + bit) for bit in each(past.active)}
    by_then = sum([1 << day - past.base for day, us in read_us.items() if us < deadline])
    before = Past(past.base, by_then, past.segments, past.cut_short, past.excused)
    after, notices = never_started.settle(rule, kept, before, watermark_us=deadline + 1)
    notices = [msgspec.structs.replace(notice, decided_us=deadline) for notice in notices]
    later = [day for day, us in read_us.items() if us >= deadline and day >= kept.contract_on]
    if notices and later:
        first = min(later, key=read_us.__getitem__)
        moment = Moment(read_us[first], first, history.instants.get(first))
        after, ended = never_started.observe(rule, after, past, first, moment)
        notices += ended
    return after, notices


def _decided_us(notice: Notice) -> int:
    return notice.decided_us
