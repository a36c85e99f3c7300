"""The core as one function: a customer's state and a record in, the next state and triggers out.

    fold    = settle up to the watermark, then observe the record
    settle  = judge the days whose deadline the watermark has passed

No clock, no I/O, no randomness: the same log gives the same triggers with the same ids.
"""

from collections.abc import Iterable
from datetime import date

import msgspec

from services.evaluator import absence, never_started, streaks
from services.evaluator.calendar import DAY_US, closes_us, day_of, opens_us
from services.evaluator.notice import Moment, Notice
from services.evaluator.past import Past
from services.evaluator.rules import (
    EVERY_EVENT,
    AbsenceRule,
    NeverStartedRule,
    Product,
    Rule,
    Settings,
    StreakRule,
    matching_filters,
    settings_of,
)
from services.evaluator.state import (
    AbsenceState,
    CustomerState,
    NeverStartedState,
    RuleState,
    Segment,
    StreakState,
)
from services.evaluator.wording import to_trigger
from shared.events import FUTURE_TOLERANCE_US, CustomerErased, Event, Profile, ProfileChanged
from shared.triggers import Trigger

BACKFILL_DAYS_MAX = 20 * 366
"""History older than this is refused: a day costs a bit for every day since."""

NONE_EXCUSED: frozenset[int] = frozenset()

_SEGMENTS_MAX = 16


class Outcome(msgspec.Struct, frozen=True):
    """`rejected`: reason and message of a record that was not taken; the state is then as before."""

    state: CustomerState | None
    triggers: tuple[Trigger, ...] = ()
    rejected: tuple[str, str] | None = None


def fold(
    state: CustomerState | None,
    message: Event | ProfileChanged | CustomerErased,
    *,
    product: Product,
    appended_us: int,
    watermark_us: int,
    excused: frozenset[int] = NONE_EXCUSED,
) -> Outcome:
    """Takes one record of a customer, in the order of the log.

    `appended_us`: the record's append time. `watermark_us`: the partition's watermark before it.
    `excused`: the product's excused days known before it.
    """
    if isinstance(message, CustomerErased):
        return Outcome(None)
    notices: list[Notice] = []
    known = state
    if state is not None:
        state, notices = _settled_before(state, message, product, watermark_us, excused)
    if isinstance(message, ProfileChanged):
        changed = _change(state, message, product, appended_us, excused)
        return Outcome(changed, worded(changed, product, message.customer_id, notices))
    before = state if state is not None else fresh(Profile(), product, appended_us)
    use = place(before, message.occurred_us, message.occurred_on)
    refusal = _refusal(before, use, message, product, appended_us)
    if refusal is not None:
        # What was settled on the way is true all the same, but it is left for the next tick: a
        # rejected record changes nothing.
        return Outcome(known, rejected=refusal)
    after, observed = observe(
        before,
        use,
        message.event,
        product=product,
        decided_us=appended_us,
        excused=excused,
        backfill=message.backfill,
    )
    return Outcome(after, worded(after, product, message.customer_id, notices + observed))


def settle(
    state: CustomerState,
    *,
    customer_id: str,
    product: Product,
    watermark_us: int,
    excused: frozenset[int] = NONE_EXCUSED,
) -> Outcome:
    """Judges the days of one customer whose deadline lies before the watermark."""
    state, notices = _settle(adopt(state, product, watermark_us, excused), product, watermark_us, excused)
    return Outcome(state, worded(state, product, customer_id, notices))


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
    return _with_due(state, product, excused)


def with_rules(state: CustomerState, product: Product, rules: dict[str, RuleState]) -> CustomerState:
    """The state with what its rules have settled and told, and due when they next have to be asked."""
    return _with_due(msgspec.structs.replace(state, rules=rules), product, NONE_EXCUSED)


def past_of(state: CustomerState, filter_key: str, excused: frozenset[int]) -> Past:
    """A customer's past under one filter."""
    return Past(state.base, state.active.get(filter_key, 0), state.segments, state.cut_short, excused)


# -- settling ------------------------------------------------------------------------------------


def _settled_before(
    state: CustomerState,
    message: Event | ProfileChanged,
    product: Product,
    watermark_us: int,
    excused: frozenset[int],
) -> tuple[CustomerState, list[Notice]]:
    state = adopt(state, product, watermark_us, excused)
    is_due = state.due_us is not None and state.due_us < watermark_us
    # A profile that corrects the past must not change how a day is judged that has passed already.
    corrects = isinstance(message, ProfileChanged) and message.backfill
    if not is_due and not excused and not corrects and not _is_silent(state, product):
        return state, []
    if message.backfill and not corrects and not _may_tell(state, product, watermark_us, excused):
        # History comes in many records, and none of the days due could be told: judging them after
        # every record would only repeat what the next tick does once.
        return state, []
    return _settle(state, product, watermark_us, excused)


def _settle(
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
        return (_with_due(state, product, excused) if excused else state), notices
    state = msgspec.structs.replace(state, rules={**state.rules, **rules})
    return _with_due(state, product, excused), notices


def _is_silent(state: CustomerState, product: Product) -> bool:
    """Whether days may have passed unjudged, nothing being due since a silence was told to its end."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(kept, AbsenceState) and absence.is_silent(
            kept, past_of(state, rule.filter, NONE_EXCUSED)
        ):
            return True
    return False


def _may_tell(state: CustomerState, product: Product, watermark_us: int, excused: frozenset[int]) -> bool:
    """Whether some day that may be told has its deadline before the watermark."""
    for rule in product.rules:
        kept = state.rules.get(rule.name)
        if isinstance(rule, AbsenceRule) and isinstance(kept, AbsenceState):
            past = past_of(state, rule.filter, excused)
            first = max(kept.told_from, kept.settled + 1)
            if absence.deadline_us(rule, past, first) < watermark_us:
                return True
    return False


def _with_due(state: CustomerState, product: Product, excused: frozenset[int]) -> CustomerState:
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


# -- observing -----------------------------------------------------------------------------------


class Use(msgspec.Struct, frozen=True):
    """An event in its usage day; `occurred_us` None where the day alone is known."""

    day: int
    occurred_us: int | None


def place(state: CustomerState, occurred_us: int | None, occurred_on: date | None) -> Use:
    """The usage day of a use, by the clock that ran when it occurred."""
    if occurred_us is None:
        assert occurred_on is not None
        return Use(occurred_on.toordinal(), None)
    settings = segment_at(state, occurred_us).settings
    return Use(day_of(settings.zone, settings.day_starts, occurred_us), occurred_us)


def segment_at(state: CustomerState, us: int) -> Segment:
    """The settings in force at an instant."""
    for segment in reversed(state.segments):
        if segment.from_us is None or segment.from_us <= us:
            return segment
    return state.segments[0]


def _refusal(
    state: CustomerState, use: Use, event: Event, product: Product, appended_us: int
) -> tuple[str, str] | None:
    """Why an event is not taken: it lies in the future, or too far back."""
    if use.occurred_us is None:
        past = past_of(state, EVERY_EVENT, NONE_EXCUSED)
        earliest, latest = past.opens_us(use.day), past.cutoff_us(use.day, None)
    else:
        earliest = latest = use.occurred_us
    if earliest > appended_us + FUTURE_TOLERANCE_US:
        return "in_future", "occurred more than 5 minutes after it was received: check the sender's clock"
    oldest = appended_us - (BACKFILL_DAYS_MAX * DAY_US if event.backfill else product.late_window_us)
    if latest < oldest:
        return "too_old", (
            f"occurred more than {(appended_us - oldest) // DAY_US} days before it was received; "
            "send history as backfill"
        )
    return None


def observe(
    state: CustomerState,
    use: Use,
    event: str,
    *,
    product: Product,
    decided_us: int,
    excused: frozenset[int] = NONE_EXCUSED,
    backfill: bool = False,
) -> tuple[CustomerState, list[Notice]]:
    """A use in its day, and what every rule has to say of it."""
    filters = matching_filters(product.filters, event)
    bit = use.day - state.base
    new = [key for key in filters if bit < 0 or not state.active.get(key, 0) >> bit & 1]
    if not new and not any(_is_missed(kept, bit) for kept in state.rules.values()):
        return state, []
    after = _with_day(state, use.day, new) if new else state
    moment = Moment(decided_us, use.day, use.occurred_us)
    notices: list[Notice] = []
    rules = dict(after.rules)
    for rule in product.rules:
        if rule.filter in filters:
            past = past_of(after, rule.filter, excused)
            kept, told = _observe_rule(
                rule, rules.get(rule.name), past, use, moment, is_new=rule.filter in new, backfill=backfill
            )
            if kept is not None:
                rules[rule.name] = kept
            notices += told
    if not new and rules == state.rules:
        return state, []
    return _with_due(msgspec.structs.replace(after, rules=rules), product, excused), notices


def _is_missed(kept: RuleState, bit: int) -> bool:
    return bit >= 0 and isinstance(kept, AbsenceState) and bool(kept.missed >> bit & 1)


def _with_day(state: CustomerState, day: int, filters: Iterable[str]) -> CustomerState:
    """The day added to the active days of some filters; an earlier day than any moves the base."""
    if not state.active:
        state = msgspec.structs.replace(state, base=day)
    elif day < state.base:
        state = _rebased(state, day)
    bit = 1 << (day - state.base)
    active = {**state.active, **{key: state.active.get(key, 0) | bit for key in filters}}
    return msgspec.structs.replace(state, active=active)


def _rebased(state: CustomerState, base: int) -> CustomerState:
    shift = state.base - base
    rules: dict[str, RuleState] = {
        name: AbsenceState(rule.settled, rule.told_from, rule.missed << shift, rule.told)
        if isinstance(rule, AbsenceState)
        else rule
        for name, rule in state.rules.items()
    }
    active = {key: bits << shift for key, bits in state.active.items()}
    return msgspec.structs.replace(state, base=base, active=active, rules=rules)


def _observe_rule(
    rule: Rule,
    kept: RuleState | None,
    past: Past,
    use: Use,
    moment: Moment,
    *,
    is_new: bool,
    backfill: bool,
) -> tuple[RuleState | None, list[Notice]]:
    if isinstance(rule, AbsenceRule):
        if not isinstance(kept, AbsenceState):
            return _first_use(rule, past, use, moment, backfill), []
        return absence.observe(rule, kept, past, use.day, moment, is_new=is_new, backfill=backfill)
    if not is_new:
        return kept, []
    if isinstance(rule, StreakRule):
        streak = kept if isinstance(kept, StreakState) else StreakState()
        return streaks.observe(rule, streak, past, use.day, moment, silently=backfill)
    if isinstance(kept, NeverStartedState):
        return never_started.observe(rule, kept, past, use.day, moment)
    return kept, []


def _first_use(rule: AbsenceRule, past: Past, use: Use, moment: Moment, backfill: bool) -> AbsenceState:
    """Judging starts with the first use; of history nothing is told that lies before its arrival."""
    told_from = use.day
    if backfill:
        told_from = first_day_with_cutoff_from(rule.cutoff, past, moment.decided_us)
    return AbsenceState(use.day - 1, told_from)


def first_day_with_cutoff_from(cutoff: int | None, past: Past, us: int) -> int:
    """The first usage day whose cutoff is not before an instant."""
    settings = past.segments[-1].settings
    day = day_of(settings.zone, settings.day_starts, us) - 3  # surely before it, whatever was changed
    while past.cutoff_us(day, cutoff) < us:
        day += 1
    return day


# -- profiles ------------------------------------------------------------------------------------


def fresh(profile: Profile, product: Product, known_us: int) -> CustomerState:
    """A customer of whom nothing but a profile is known, since `known_us`."""
    state = CustomerState(
        profile=profile,
        segments=(Segment(None, settings_of(profile, product)),),
        product_key=product.key,
    )
    return _armed(state, product, known_us)


def _change(
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
        if isinstance(kept, AbsenceState):
            past = past_of(state, rule.filter, NONE_EXCUSED)
            day = past.first_inactive(kept.settled + 1)
            earliest = min(earliest, past.opens_us(day))
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
    """With the never-started rules waiting for the contract that the profile names."""
    contract_on = state.profile.contract_started_on
    rules = dict(state.rules)
    for rule in product.rules:
        if isinstance(rule, NeverStartedRule):
            kept = rules.get(rule.name)
            armed = _armed_rule(kept, contract_on, known_us)
            if armed is None:
                rules.pop(rule.name, None)
            else:
                rules[rule.name] = armed
    return _with_due(msgspec.structs.replace(state, rules=rules), product, excused)


def _armed_rule(kept: RuleState | None, contract_on: date | None, known_us: int) -> NeverStartedState | None:
    if contract_on is None:
        return None
    if isinstance(kept, NeverStartedState) and kept.contract_on == contract_on.toordinal():
        return kept
    return NeverStartedState(contract_on.toordinal(), known_us)


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
    return _armed_rule(None, state.profile.contract_started_on, watermark_us)


def worded(
    state: CustomerState, product: Product, customer_id: str, notices: list[Notice]
) -> tuple[Trigger, ...]:
    """The triggers of what was decided, in order."""
    return tuple(to_trigger(notice, state, product.id, customer_id) for notice in notices)
