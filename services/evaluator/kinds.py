"""What the rules of a product have to say together: each is asked in its own kind's way.

due        when a customer has to be looked at again
settle     the days whose deadline the watermark has passed
observe    a use
"""

import msgspec

from services.evaluator import absence, never_started, streaks
from services.evaluator.calendar import DAY_US, day_of
from services.evaluator.notice import Moment, Notice
from services.evaluator.past import NONE_EXCUSED, Past, past_of
from services.evaluator.rules import AbsenceRule, NeverStartedRule, Product, Rule, StreakRule
from services.evaluator.state import AbsenceState, CustomerState, NeverStartedState, RuleState, StreakState


def with_rules(state: CustomerState, product: Product, rules: dict[str, RuleState]) -> CustomerState:
    """The state with what its rules have settled and told, and due when they next have to be asked."""
    return with_due(msgspec.structs.replace(state, rules=rules), product, NONE_EXCUSED)


def settle(
    state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]
) -> tuple[CustomerState, list[Notice]]:
    notices: list[Notice] = []
    rules: dict[str, RuleState] = {}
    forgotten = product.late_window_us // DAY_US + 2
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        past = past_of(state, rule.filter, excused)
        after: RuleState | None = kept
        told: list[Notice] = []
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            judged, told = absence.settle(rule, kept, past, watermark_us=watermark_us)
            after = absence.prune(judged, past, judged.settled - forgotten)
        elif isinstance(rule, NeverStartedRule) and isinstance(kept, NeverStartedState):
            after, told = never_started.settle(rule, kept, past, watermark_us=watermark_us)
        if after is not None and after is not kept:
            rules[rule.name] = after
        notices += told
    if not rules:
        # An excused day may make a streak long enough for a silence that could not be told before.
        return (with_due(state, product, excused) if excused else state), notices
    state = msgspec.structs.replace(state, rules={**state.rules, **rules})
    return with_due(state, product, excused), notices


def is_silent(state: CustomerState, product: Product) -> bool:
    """Whether days may have passed unjudged, nothing being due since a silence was told to its end."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(kept, AbsenceState) and absence.is_silent(
            kept, past_of(state, rule.filter, NONE_EXCUSED)
        ):
            return True
    return False


def may_tell(state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]) -> bool:
    """Whether some day that may be told has its deadline before the watermark."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            past = past_of(state, rule.filter, excused)
            first = max(kept.told_from, kept.settled + 1)
            if absence.deadline_us(rule, past, first) < watermark_us:
                return True
    return False


def with_due(state: CustomerState, product: Product, excused: frozenset[int]) -> CustomerState:
    dues: list[int] = []
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        due: int | None = None
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            due = absence.due_us(rule, kept, past_of(state, rule.filter, excused))
        elif isinstance(rule, NeverStartedRule) and isinstance(kept, NeverStartedState):
            due = never_started.due_us(rule, kept, past_of(state, rule.filter, excused))
        if due is not None:
            dues.append(due)
    due_us = min(dues, default=None)
    return state if due_us == state.due_us else msgspec.structs.replace(state, due_us=due_us)


def observe(
    rule: Rule,
    kept: RuleState | None,
    past: Past,
    day: int,
    moment: Moment,
    *,
    is_new: bool,
    backfill: bool,
) -> tuple[RuleState | None, list[Notice]]:
    if isinstance(rule, AbsenceRule):
        if not isinstance(kept, AbsenceState):
            return _first_use(rule, past, day, moment, backfill), []
        return absence.observe(rule, kept, past, day, moment, is_new=is_new, backfill=backfill)
    if not is_new:
        return kept, []
    if isinstance(rule, StreakRule):
        streak = kept if isinstance(kept, StreakState) else StreakState()
        return streaks.observe(rule, streak, past, day, moment, silently=backfill)
    if isinstance(kept, NeverStartedState):
        return never_started.observe(rule, kept, past, day, moment)
    return kept, []


def _first_use(rule: AbsenceRule, past: Past, day: int, moment: Moment, backfill: bool) -> AbsenceState:
    """Judging starts with the first use; of history nothing is told that lies before its arrival."""
    told_from = day
    if backfill:
        told_from = first_day_with_cutoff_from(rule.cutoff, past, moment.decided_us)
    return AbsenceState(day - 1, told_from)


def first_day_with_cutoff_from(cutoff: int | None, past: Past, us: int) -> int:
    """The first usage day whose cutoff is not before an instant."""
    settings = past.segments[-1].settings
    day = day_of(settings.zone, settings.day_starts, us) - 3  # surely before it, whatever was changed
    while past.cutoff_us(day, cutoff) < us:
        day += 1
    return day
