"""The short way of a plain use: on another day of a customer of whom nothing else is awaited.

Most uses that change anything change two things: one more day is active, and a later one is the next that may
be missed. Whatever may come of it beyond that goes the long way (`engine`), which alone knows all; that both
end in the same state is tested, not assumed.
"""

from services.evaluator.core import absence
from services.evaluator.core.calendar import day_of
from services.evaluator.core.filters import passed_filters
from services.evaluator.core.past import NONE_EXCUSED, Past
from services.evaluator.core.rules import AbsenceRule, NeverStartedRule, Product, Rule, StreakRule
from services.evaluator.core.state import (
    AbsenceState,
    CountState,
    CustomerState,
    NeverStartedState,
    RuleState,
    StreakState,
)
from services.evaluator.core.stops import NEVER
from shared.events import Event


def after_use(
    state: CustomerState, us: int, event: Event, product: Product, watermark_us: int
) -> CustomerState | None:
    """The state after a use at `us`, where no day is excused; None where it has to go the long way."""
    if (
        not state.active
        or len(state.segments) != 1
        or state.cut_short
        or state.product_key != product.key
        or (state.due_us is not None and state.due_us < watermark_us)
    ):
        return None
    settings = state.segments[0].settings
    day = day_of(settings.zone, settings.day_starts, us)
    active = _with_day(state, day, passed_filters(product.filters, event.event, event.properties))
    if active is None:
        return None
    due_us = NEVER
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        used = active.get(rule.filter, 0)
        if type(rule) is AbsenceRule:
            if type(kept) is not AbsenceState or not _is_at_peace(
                kept, state.active.get(rule.filter, 0), day
            ):
                return None
            past = Past(state.base, used, state.segments, (), NONE_EXCUSED)
            due_us = min(due_us, absence.next_deadline_us(rule, kept, past))
        elif type(rule) is StreakRule:
            if type(kept) is not StreakState or not _reaches_nothing(rule, kept, used):
                return None
        elif not _is_over(rule, kept):
            return None
    return CustomerState(
        profile=state.profile,
        segments=state.segments,
        base=state.base,
        active=active,
        rules=state.rules,
        due_us=None if due_us == NEVER else due_us,
        product_key=state.product_key,
        rule_keys=state.rule_keys,
    )


def _with_day(state: CustomerState, day: int, filters: tuple[str, ...]) -> dict[str, int] | None:
    """The active days with one that comes after all others, or is the last one; None where none is added."""
    bit = day - state.base
    active = state.active.copy()
    is_new = False
    for key in filters:
        known = active.get(key, 0)
        length = known.bit_length()
        if bit >= length:
            active[key] = known | 1 << bit
            is_new = True
        elif bit < length - 1:
            return None
    return active if is_new else None


def _is_at_peace(kept: AbsenceState, used: int, day: int) -> bool:
    """Whether a use on `day` ends and retracts nothing: no silence stands, and the day is not judged yet.

    `used`: the active days so far, on the base of the days missed.
    """
    return (
        kept.settled < day
        and kept.missed.bit_length() <= used.bit_length()
        and all(stop.resumed for stop in kept.told)
    )


def _reaches_nothing(rule: StreakRule, kept: StreakState, used: int) -> bool:
    """Whether the streak is told already, or there are too few active days for it."""
    if kept.told and not rule.repeat:
        return True
    return not rule.by_calendar and used.bit_count() < rule.days


def _is_over(rule: Rule, kept: RuleState | None) -> bool:
    """Whether a window is over, or nobody's, so that no use is looked at any more."""
    if isinstance(kept, CountState):
        return kept.stage != "waiting"
    if isinstance(kept, NeverStartedState):
        return kept.stage == "over"
    return kept is None and isinstance(rule, NeverStartedRule)
