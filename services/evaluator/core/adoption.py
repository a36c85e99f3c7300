"""A changed configuration meets a customer: nothing is told of the past, whatever was changed.

Rules gone are dropped, new ones begin with what is stored, edited ones keep what they told: decision
record 0008.
"""

import msgspec

from services.evaluator.core import absence, counts, days, declines, never_started, streaks
from services.evaluator.core.filters import EVERY_EVENT
from services.evaluator.core.kinds import with_due
from services.evaluator.core.past import Past, past_of
from services.evaluator.core.profiles import armed_rule
from services.evaluator.core.rules import (
    CountRule,
    DeclineRule,
    NeverStartedRule,
    Product,
    Rule,
    StreakRule,
    key_of_filter,
    key_of_look,
    key_of_rule,
    rule_keys,
    settings_of,
)
from services.evaluator.core.state import (
    AbsenceState,
    CountState,
    CustomerState,
    DeclineState,
    NeverStartedState,
    RuleState,
    Segment,
    StreakState,
    contract_day,
    first_active_day,
)


def adopt(
    state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]
) -> CustomerState:
    """The state under the product's present configuration."""
    if state.product_key == product.key:
        return state
    state = _with_settings(state, product)
    meeting = _Meeting(state, watermark_us, excused)
    rules = {rule.name: meeting.state_of(rule) for rule in product.rules}
    state = msgspec.structs.replace(
        state,
        product_key=product.key,
        rule_keys=rule_keys(product.rules),
        active={key: active for key, active in state.active.items() if key in product.filters},
        rules={name: kept for name, kept in rules.items() if kept is not None},
    )
    return with_due(state, product, excused)


def _with_settings(state: CustomerState, product: Product) -> CustomerState:
    last = state.segments[-1]
    settings = settings_of(state.profile, product)
    segments = (*state.segments[:-1], Segment(last.from_us, settings, last.from_day))
    return msgspec.structs.replace(state, segments=segments)


class _Meeting(msgspec.Struct, frozen=True):
    """One customer and the rules of a changed configuration, at one watermark."""

    state: CustomerState
    watermark_us: int
    excused: frozenset[int]

    def state_of(self, rule: Rule) -> RuleState | None:
        """What the customer's state has of a rule from now on."""
        kept = self.state.rules.get(rule.name)
        if key_of_rule(rule) in self.state.rule_keys:
            return kept
        past = past_of(self.state, rule.filter, self.excused)
        if isinstance(rule, StreakRule):
            return streaks.told_before(rule, past, kept if isinstance(kept, StreakState) else StreakState())
        if isinstance(rule, CountRule):
            return self._count(rule, kept, past)
        if isinstance(rule, NeverStartedRule):
            return self._start(rule, kept)
        # Looking at other events than before, it is another rule.
        known = kept if self._looks_at_the_same(rule) else None
        if isinstance(rule, DeclineRule):
            was = known if isinstance(known, DeclineState) else None
            return declines.met(rule, was, past, self.watermark_us)
        if isinstance(known, AbsenceState):
            return absence.edited(rule, known, past, self.watermark_us)
        return absence.met(rule, past, self.watermark_us)

    def _count(self, rule: CountRule, kept: RuleState | None, past: Past) -> CountState:
        if isinstance(kept, CountState) and kept.stage != "waiting":
            return kept
        counted = None if rule.of_days else ()
        begun = CountState(None, 0, self._watched_from(rule, of_days=rule.of_days), counted)
        if isinstance(kept, CountState) and self._looks_at_the_same(rule):
            begun = counts.begun_anew(kept, begun)
        anchor_on = contract_day(self.state) if rule.by_contract else first_active_day(self.state)
        return counts.silenced(rule, counts.anchored(rule, begun, past, anchor_on, self.watermark_us), past)

    def _start(self, rule: NeverStartedRule, kept: RuleState | None) -> NeverStartedState | None:
        known = kept if isinstance(kept, NeverStartedState) else None
        if known and (known.stage != "waiting" or self._looks_at_the_same(rule)):
            return never_started.edited(known, self.watermark_us)
        armed = armed_rule(None, self.state.profile.contract_started_on, self.watermark_us)
        if armed is not None and armed.contract_on < self._watched_from(rule, of_days=True):
            return never_started.over(armed)  # nobody looked whether it had started
        return armed

    def _looks_at_the_same(self, rule: Rule) -> bool:
        return key_of_look(rule) in self.state.rule_keys

    def _watched_from(self, rule: Rule, *, of_days: bool) -> int:
        """The first day of which every use that this rule looks at is known."""
        if of_days and (rule.filter == EVERY_EVENT or key_of_filter(rule) in self.state.rule_keys):
            return 0
        active = self.state.active.get(EVERY_EVENT, 0)
        return self.state.base + days.highest(active) + 1 if active else 0
