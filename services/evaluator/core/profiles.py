"""What is told of a customer, and from when on it holds: a profile, its settings, its contract."""

from collections.abc import Iterable
from datetime import date

import msgspec

from services.evaluator.core import counts
from services.evaluator.core.calendar import closes_us, day_of, opens_us
from services.evaluator.core.kinds import with_due
from services.evaluator.core.past import NONE_EXCUSED, past_of
from services.evaluator.core.rules import (
    CountRule,
    NeverStartedRule,
    Product,
    Settings,
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
    contract_day,
    segment_at,
)
from shared.events import Profile, ProfileChanged

_SEGMENTS_MAX = 16


def fresh(profile: Profile, product: Product, known_us: int) -> CustomerState:
    """A customer of whom nothing but a profile is known, since `known_us`."""
    state = CustomerState(
        profile=profile,
        segments=(Segment(None, settings_of(profile, product)),),
        product_key=product.key,
        rule_keys=rule_keys(product.rules),
    )
    return _armed(state, product, known_us)


def changed(
    state: CustomerState | None,
    message: ProfileChanged,
    product: Product,
    appended_us: int,
    excused: frozenset[int],
) -> CustomerState:
    """A profile as told. What changes the days takes effect at the end of the current usage day."""
    if state is None:
        return fresh(message.profile, product, appended_us)
    profile = _merged(state.profile, message.profile) if message.merge else message.profile
    state = msgspec.structs.replace(state, profile=profile)
    settings = settings_of(profile, product)
    if not state.active or message.backfill:
        state = msgspec.structs.replace(state, segments=(Segment(None, settings),), cut_short=())
    elif settings != state.segments[-1].settings:
        state = _with_segment(state, settings, message.received_us, product)
    return _armed(state, product, appended_us, excused)


def _with_segment(
    state: CustomerState, settings: Settings, received_us: int, product: Product
) -> CustomerState:
    now = segment_at(state, received_us)
    day = day_of(now.settings.zone, now.settings.day_starts, received_us)
    from_us = closes_us(now.settings.zone, now.settings.day_starts, day)
    kept = [s for s in state.segments if s.from_us is None or s.from_us <= received_us]
    if settings != now.settings:
        kept.append(Segment(from_us, settings, day + 1))
    kept = _pruned(kept, min(received_us - product.late_window_us, _unsettled_us(state, product)))
    cut_short = [d for d in state.cut_short if d <= day]
    if settings != now.settings:
        cut_short += _cut_short(day, settings, from_us)
    return msgspec.structs.replace(state, segments=tuple(kept), cut_short=tuple(cut_short[-_SEGMENTS_MAX:]))


def _unsettled_us(state: CustomerState, product: Product) -> int:
    """When the earliest day opened that some rule has still to judge."""
    earliest = 1 << 62
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        past = past_of(state, rule.filter, NONE_EXCUSED)
        if isinstance(kept, AbsenceState):
            earliest = min(earliest, past.opens_us(past.first_inactive(kept.settled + 1)))
        elif isinstance(kept, DeclineState):
            earliest = min(earliest, past.opens_us(kept.settled + 1))
    return earliest


def _cut_short(day: int, settings: Settings, from_us: int) -> Iterable[int]:
    """The days after `day` that had begun, by the new settings, before these took effect."""
    following = day + 1
    while opens_us(settings.zone, settings.day_starts, following) < from_us:
        yield following
        following += 1


def _pruned(segments: list[Segment], before_us: int) -> list[Segment]:
    """Without the segments that ended before any event that may still come."""
    while len(segments) > 1 and ((segments[1].from_us or 0) < before_us or len(segments) > _SEGMENTS_MAX):
        segments = [Segment(None, segments[1].settings), *segments[2:]]
    return segments


def _merged(old: Profile, new: Profile) -> Profile:
    """The old profile with what the new one tells."""
    told = {
        name: getattr(new, name)
        for name in new.__struct_fields__
        if getattr(new, name) != getattr(_NOTHING_TOLD, name)
    }
    if "properties" in told:
        told["properties"] = {**old.properties, **new.properties}
    return msgspec.structs.replace(old, **told)


_NOTHING_TOLD = Profile()


def _armed(
    state: CustomerState, product: Product, known_us: int, excused: frozenset[int] = NONE_EXCUSED
) -> CustomerState:
    """With the rules that wait for a contract waiting for the one that the profile names."""
    rules = dict(state.rules)
    for rule in product.rules:
        kept = rules.get(rule.name)
        armed: RuleState | None = None
        if isinstance(rule, NeverStartedRule):
            armed = armed_rule(kept, state.profile.contract_started_on, known_us)
        elif isinstance(rule, CountRule) and rule.by_contract:
            count = kept if isinstance(kept, CountState) else counts.begun(rule)
            past = past_of(state, rule.filter, excused)
            armed = counts.anchored(rule, count, past, contract_day(state), known_us)
        else:
            continue
        if armed is None:
            rules.pop(rule.name, None)
        else:
            rules[rule.name] = armed
    return with_due(msgspec.structs.replace(state, rules=rules), product, excused)


def armed_rule(kept: RuleState | None, contract_on: date | None, known_us: int) -> NeverStartedState | None:
    if contract_on is None:
        return None
    if isinstance(kept, NeverStartedState) and kept.contract_on == contract_on.toordinal():
        return kept
    return NeverStartedState(contract_on.toordinal(), known_us)
