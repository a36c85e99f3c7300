"""A changed configuration meets a customer: rules gone are dropped, rules new begin with the stored days."""

import msgspec

from services.evaluator import absence, streaks
from services.evaluator.kinds import with_due
from services.evaluator.past import past_of
from services.evaluator.profiles import armed_rule
from services.evaluator.rules import AbsenceRule, Product, Rule, StreakRule, settings_of
from services.evaluator.state import (
    AbsenceState,
    CustomerState,
    NeverStartedState,
    RuleState,
    Segment,
    StreakState,
)


def adopt(
    state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]
) -> CustomerState:
    """The state under the product's present configuration.

    Rules gone are dropped, rules new begin with the stored days: they judge the past, and tell
    nothing of what lies before the watermark.
    """
    if state.product_key == product.key:
        return state
    last = state.segments[-1]
    segments = (
        *state.segments[:-1],
        Segment(last.from_us, settings_of(state.profile, product), last.from_day),
    )
    state = msgspec.structs.replace(state, segments=segments, product_key=product.key)
    rules = {rule.name: _adopted(rule, state, watermark_us, excused) for rule in product.rules}
    state = msgspec.structs.replace(
        state, rules={name: rule for name, rule in rules.items() if rule is not None}
    )
    return with_due(state, product, excused)


def _adopted(
    rule: Rule, state: CustomerState, watermark_us: int, excused: frozenset[int]
) -> RuleState | None:
    """The state of a rule after a change of configuration: kept, or begun with the stored days."""
    kept = state.rules.get(rule.name)
    past = past_of(state, rule.filter, excused)
    if isinstance(rule, StreakRule):
        if isinstance(kept, StreakState):
            return kept
        return streaks.told_before(rule, past)
    if isinstance(rule, AbsenceRule):
        if isinstance(kept, AbsenceState) or not past.active:
            return kept if isinstance(kept, AbsenceState) else None
        told_from = past.base
        while absence.deadline_us(rule, past, told_from) < watermark_us:
            told_from += 1
        return AbsenceState(past.base - 1, told_from)
    if isinstance(kept, NeverStartedState):
        return kept
    return armed_rule(None, state.profile.contract_started_on, watermark_us)
