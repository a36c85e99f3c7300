"""Replays one customer's history as if live: each day settled at its own deadline, each use in its time.

In the order of time nothing arrives late, so no rule has to be folded use by use: each reads the history as
a whole. That it ends in the same triggers as the fold is tested, not assumed.
"""

from collections.abc import Iterable

import msgspec

from services.evaluator import absence, engine, never_started, streaks
from services.evaluator.calendar import day_of, opens_us
from services.evaluator.notice import Moment, Notice, Read
from services.evaluator.past import Past
from services.evaluator.rules import (
    NeverStartedRule,
    Product,
    Rule,
    Settings,
    StreakRule,
    matching_filters,
)
from services.evaluator.state import CustomerState, NeverStartedState, RuleState
from shared.events import Profile
from shared.triggers import Trigger

_NONE_EXCUSED: frozenset[int] = frozenset()


class DatedUse(msgspec.Struct, frozen=True):
    """One use: its instant, or None and the usage day that alone is known."""

    occurred_us: int | None
    day: int = 0
    event: str = "used"


class Replayed(msgspec.Struct, frozen=True):
    """The state a replay ended in, and the triggers in the order of their decisions."""

    state: CustomerState
    triggers: tuple[Trigger, ...]


def replay_customer(
    customer_id: str, profile: Profile, uses: Iterable[DatedUse], *, product: Product, last_on: int
) -> Replayed:
    """Reads a customer's uses in the order of time; `last_on` is judged to its very end.

    A use known by its day alone is taken to occur when that day opens. A day is settled exactly at its
    deadline, after every use that occurred before it. What lies after `last_on` is left out.
    """
    state = engine.fresh(profile, product, known_us=0)
    first_reads = _first_reads(uses, state.segments[0].settings, product, last_on)
    base = min((min(reads) for reads in first_reads.values() if reads), default=0)
    active = {key: sum([1 << day - base for day in reads]) for key, reads in first_reads.items() if reads}
    state = msgspec.structs.replace(state, base=base, active=active)
    rules: dict[str, RuleState] = {}
    notices: list[Notice] = []
    for rule in product.rules:
        past = engine.past_of(state, rule.filter, _NONE_EXCUSED)
        kept, told = _read(rule, state.rules.get(rule.name), past, first_reads.get(rule.filter, {}), last_on)
        if kept is not None:
            rules[rule.name] = kept
        notices += told
    notices.sort(key=_decided_us)
    state = engine.with_rules(state, product, rules)
    return Replayed(state, engine.worded(state, product, customer_id, notices))


def _first_reads(
    uses: Iterable[DatedUse], settings: Settings, product: Product, last_on: int
) -> dict[str, dict[int, Read]]:
    """For each filter the first use read on each usage day."""
    zone, day_starts = settings.zone, settings.day_starts
    found: dict[str, dict[int, Read]] = {key: {} for key in product.filters}
    for use in uses:
        if use.occurred_us is None:
            read = Read(opens_us(zone, day_starts, use.day), use.day, None, use.event)
        else:
            day = day_of(zone, day_starts, use.occurred_us)
            read = Read(use.occurred_us, day, use.occurred_us, use.event)
        if read.day > last_on:
            continue
        for key in matching_filters(product.filters, use.event):
            first = found[key].get(read.day)
            if first is None or read.at_us < first.at_us:
                found[key][read.day] = read
    return found


def _read(
    rule: Rule, kept: RuleState | None, past: Past, reads: dict[int, Read], last_on: int
) -> tuple[RuleState | None, list[Notice]]:
    if isinstance(rule, NeverStartedRule):
        return _read_start(rule, kept, past, reads, last_on)
    if not reads:
        return None, []
    if isinstance(rule, StreakRule):
        return streaks.read_history(rule, past, reads)
    return absence.read_history(rule, past, reads, last_on=last_on)


def _read_start(
    rule: NeverStartedRule, kept: RuleState | None, past: Past, reads: dict[int, Read], last_on: int
) -> tuple[RuleState | None, list[Notice]]:
    """The window is judged at its deadline, with the uses read before it; a later one ends the wait."""
    if not isinstance(kept, NeverStartedState) or never_started.last_day(rule, kept) > last_on:
        return kept, []
    deadline = never_started.due_us(rule, kept, past)
    assert deadline is not None
    by_then = sum([1 << day - past.base for day, read in reads.items() if read.at_us < deadline])
    before = Past(past.base, by_then, past.segments, past.cut_short, past.excused)
    after, notices = never_started.settle(rule, kept, before, watermark_us=deadline + 1)
    notices = [msgspec.structs.replace(notice, decided_us=deadline) for notice in notices]
    later = [read for read in reads.values() if read.at_us >= deadline and read.day >= kept.contract_on]
    if notices and later:
        first = min(later, key=_at_us)
        moment = Moment(first.at_us, first.day, first.occurred_us)
        after, ended = never_started.observe(rule, after, past, first.day, moment)
        notices += ended
    return after, notices


def _at_us(read: Read) -> int:
    return read.at_us


def _decided_us(notice: Notice) -> int:
    return notice.decided_us
