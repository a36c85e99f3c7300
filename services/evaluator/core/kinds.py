"""What the rules of a product have to say together: each is asked in its own kind's way.

due        when a customer has to be looked at again
settle     the days whose deadline the watermark has passed
observe    a use
"""

import msgspec

from services.evaluator.core import absence, counts, declines, never_started, stops, streaks
from services.evaluator.core.calendar import DAY_US, day_of
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import NONE_EXCUSED, Past, past_of
from services.evaluator.core.rules import (
    AbsenceRule,
    CountRule,
    DeclineRule,
    NeverStartedRule,
    Product,
    Rule,
    StreakRule,
)
from services.evaluator.core.state import (
    AbsenceState,
    CountState,
    CustomerState,
    DeclineState,
    NeverStartedState,
    RuleState,
    StreakState,
    first_active_day,
)
from services.evaluator.core.stops import NEVER


def with_rules(state: CustomerState, product: Product, rules: dict[str, RuleState]) -> CustomerState:
    """The state with what its rules have settled and told, and due when they next have to be asked."""
    return with_due(msgspec.structs.replace(state, rules=rules), product, NONE_EXCUSED)


# When


def with_due(state: CustomerState, product: Product, excused: frozenset[int]) -> CustomerState:
    """The state, due at the first instant at which some rule could have something to say."""
    dues: list[int] = []
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if kept is None or isinstance(kept, StreakState):
            continue  # a streak is told at once: nothing about it falls due
        due = _due_us(rule, kept, past_of(state, rule.filter, excused))
        if due is not None:
            dues.append(due)
    due_us = min(dues, default=None)
    return state if due_us == state.due_us else msgspec.structs.replace(state, due_us=due_us)


def _due_us(rule: Rule, kept: RuleState, past: Past) -> int | None:
    if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
        return absence.due_us(rule, kept, past)
    if isinstance(rule, NeverStartedRule) and isinstance(kept, NeverStartedState):
        return never_started.due_us(rule, kept, past)
    if isinstance(rule, CountRule) and isinstance(kept, CountState):
        return counts.due_us(rule, kept, past)
    if isinstance(rule, DeclineRule) and isinstance(kept, DeclineState):
        return declines.due_us(rule, kept, past)
    return None


def settled_until_us(state: CustomerState, product: Product, excused: frozenset[int]) -> int:
    """Up to which watermark a record of the customer finds nothing to settle: the instant it is due, or the
    next deadline where a record judges days of which nothing can be told (`is_behind`, days excused).
    """
    until_us = NEVER if state.due_us is None else state.due_us
    is_silent = bool(excused)
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(rule, DeclineRule) and isinstance(kept, DeclineState):
            past = past_of(state, rule.filter, excused)
            until_us = min(until_us, declines.deadline_us(rule, past, kept.settled + 1))
        elif isinstance(kept, AbsenceState):
            is_silent = is_silent or _is_silent(rule, kept, state)
    # Where a record settles one rule, it settles all of them.
    return min(until_us, _unjudged_until_us(state, product, excused)) if is_silent else until_us


def _unjudged_until_us(state: CustomerState, product: Product, excused: frozenset[int]) -> int:
    """Until when days that nobody expects may pass without being judged."""
    until_us = NEVER
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            past = past_of(state, rule.filter, excused)
            day = past.first_inactive(kept.settled + 1)
            until_us = min(until_us, stops.deadline_us(rule, past, day))
    return until_us


def _is_silent(rule: Rule, kept: AbsenceState, state: CustomerState) -> bool:
    """Whether the customer has not been back since its last missed day; most have none."""
    return kept.missed > 0 and absence.is_silent(kept, past_of(state, rule.filter, NONE_EXCUSED))


def is_behind(state: CustomerState, product: Product, watermark_us: int) -> bool:
    """Whether days may have passed unjudged though nothing was due: in a silence told to its end, or where
    nothing could have been told of them as long as no day was added."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(kept, AbsenceState):
            if _is_silent(rule, kept, state):
                return True
        elif (
            isinstance(rule, DeclineRule)
            and isinstance(kept, DeclineState)
            and declines.is_behind(rule, kept, past_of(state, rule.filter, NONE_EXCUSED), watermark_us)
        ):
            return True
    return False


def may_tell(state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]) -> bool:
    """Whether some day that may be told has its deadline before the watermark."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        past = past_of(state, rule.filter, excused)
        due: int | None = None
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            due = stops.deadline_us(rule, past, max(kept.told_from, kept.settled + 1))
        elif isinstance(rule, DeclineRule) and isinstance(kept, DeclineState):
            due = declines.deadline_us(rule, past, max(kept.told_from, kept.settled + 1))
        elif kept is not None:
            due = _due_us(rule, kept, past)
        if due is not None and due < watermark_us:
            return True
    return False


# What the watermark has passed


def settle(
    state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]
) -> tuple[CustomerState, list[Notice]]:
    """Every rule judges what the watermark has passed, in the order of the configuration."""
    notices: list[Notice] = []
    rules: dict[str, RuleState] = {}
    forgotten = product.late_window_us // DAY_US + 2
    is_due = state.due_us is not None and state.due_us < watermark_us
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if kept is None:
            continue
        past = past_of(state, rule.filter, excused)
        after, told = _settle(rule, kept, past, watermark_us, forgotten, is_due)
        if after is not kept:
            rules[rule.name] = after
        notices += told
    if not rules:
        # An excused day may make a streak long enough for a silence that could not be told before.
        return (with_due(state, product, excused) if excused else state), notices
    state = msgspec.structs.replace(state, rules={**state.rules, **rules})
    return with_due(state, product, excused), notices


def _settle(
    rule: Rule, kept: RuleState, past: Past, watermark_us: int, forgotten: int, is_due: bool
) -> tuple[RuleState, list[Notice]]:
    if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
        judged, told = absence.settle(rule, kept, past, watermark_us=watermark_us)
        return absence.prune(judged, past, judged.settled - forgotten), told
    if isinstance(rule, NeverStartedRule) and isinstance(kept, NeverStartedState):
        return never_started.settle(rule, kept, past, watermark_us=watermark_us)
    if isinstance(rule, CountRule) and isinstance(kept, CountState):
        return counts.settle(rule, kept, past, watermark_us=watermark_us)
    if isinstance(rule, DeclineRule) and isinstance(kept, DeclineState):
        return declines.settle(rule, kept, past, watermark_us=watermark_us, is_due=is_due)
    return kept, []


# A use


class Seen(msgspec.Struct, frozen=True):
    """An event in its usage day, and when it was read."""

    day: int
    event_id: str
    moment: Moment
    backfill: bool


def awaits(rule: Rule, kept: RuleState | None, bit: int) -> bool:
    """Whether an event on a day that is active already (its bit) may say something new."""
    if isinstance(kept, AbsenceState):
        return bit >= 0 and bool(kept.missed >> bit & 1)
    if isinstance(rule, CountRule):
        return not rule.of_days and not (isinstance(kept, CountState) and kept.stage != "waiting")
    return False


def observe(
    rule: Rule, kept: RuleState | None, past: Past, seen: Seen, *, is_new: bool
) -> tuple[RuleState | None, list[Notice]]:
    """What a rule makes of an event that matches it, whose day is among the active days of `past` already.

    `is_new`: it was not before this event.
    """
    day, moment, backfill = seen.day, seen.moment, seen.backfill
    if isinstance(rule, CountRule):
        if rule.of_days and not is_new:
            return kept, []
        count = kept if isinstance(kept, CountState) else counts.begun(rule)
        return counts.observe(rule, count, past, day, seen.event_id, moment, silently=backfill)
    if isinstance(rule, AbsenceRule):
        if not isinstance(kept, AbsenceState):
            return AbsenceState(day - 1, _told_from(rule.cutoff, past, seen)), []
        return absence.observe(rule, kept, past, day, moment, is_new=is_new, backfill=backfill)
    if not is_new:
        return kept, []
    if isinstance(rule, StreakRule):
        streak = kept if isinstance(kept, StreakState) else StreakState()
        return streaks.observe(rule, streak, past, day, moment, silently=backfill)
    if isinstance(rule, DeclineRule):
        if not isinstance(kept, DeclineState):
            return DeclineState(day - 1, _told_from(None, past, seen)), []
        return (declines.learned_of_history(rule, kept, past, day) if backfill else kept), []
    if isinstance(kept, NeverStartedState):
        return never_started.observe(rule, kept, past, day, moment)
    return kept, []


def first_used(
    state: CustomerState, product: Product, decided_us: int, *, backfill: bool
) -> dict[str, RuleState]:
    """The rules of a state whose first active day is another than before, where they count from it."""
    rules = dict(state.rules)
    for rule in product.rules:
        if isinstance(rule, CountRule) and not rule.by_contract:
            kept = rules.get(rule.name)
            count = kept if isinstance(kept, CountState) else counts.begun(rule)
            # History moves the first day to where nobody could have been told; a late event does not.
            known_us = decided_us if backfill or count.anchor_on is None else count.known_us
            past = past_of(state, rule.filter, NONE_EXCUSED)
            rules[rule.name] = counts.anchored(rule, count, past, first_active_day(state), known_us)
    return rules


def _told_from(cutoff: int | None, past: Past, seen: Seen) -> int:
    """Judging starts with the first use; of history nothing is told that lies before its arrival."""
    if not seen.backfill:
        return seen.day
    us = seen.moment.decided_us
    settings = past.segments[-1].settings
    day = day_of(settings.zone, settings.day_starts, us) - 3  # surely before it, whatever was changed
    while past.cutoff_us(day, cutoff) < us:
        day += 1
    return day
