"""The core as one function: a customer's state and a record in, the next state and triggers out.

    fold    = settle up to the watermark, then observe the record
    settle  = judge the days whose deadline the watermark has passed

No clock, no I/O, no randomness: the same log gives the same triggers with the same ids.
"""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

import msgspec

from services.evaluator.core import kinds, plain, profiles
from services.evaluator.core.adoption import adopt
from services.evaluator.core.calendar import DAY_US, day_of
from services.evaluator.core.filters import EVERY_EVENT, named_filters, passed_filters
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import NONE_EXCUSED, past_of
from services.evaluator.core.rules import CountRule, DeclineRule, Product
from services.evaluator.core.state import AbsenceState, CustomerState, RuleState, first_active_day, segment_at
from services.evaluator.core.wording import to_triggers
from shared.events import FUTURE_TOLERANCE_US, CustomerErased, Event, Profile, ProfileChanged
from shared.triggers import Trigger

BACKFILL_DAYS_MAX = 20 * 366
"""History older than this is refused: a day costs a bit for every day since."""


class Outcome(msgspec.Struct, frozen=True):
    """`rejected`: reason and message of a record that was not taken; the state is then as before.
    `is_plain`: a use that went the short way."""

    state: CustomerState | None
    triggers: tuple[Trigger, ...] = ()
    rejected: tuple[str, str] | None = None
    is_plain: bool = False


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
    if type(message) is Event and not excused:
        after = _short_way(state, message, product, appended_us, watermark_us)
        if after is not None:
            return Outcome(after, is_plain=True)
    notices: list[Notice] = []
    known = state
    if state is not None:
        state, notices = _settled_before(state, message, product, watermark_us, excused)
    if isinstance(message, ProfileChanged):
        changed = profiles.changed(state, message, product, appended_us, excused)
        return Outcome(changed, worded(changed, product, message.customer_id, notices))
    before = state if state is not None else profiles.fresh(Profile(), product, appended_us)
    use = place(before, message.occurred_us, message.occurred_on)
    refusal = _refusal(before, use, message, product, appended_us)
    if refusal is not None:
        # What was settled on the way is true all the same, but it is left for the next tick: a
        # rejected record changes nothing.
        return Outcome(known, rejected=refusal)
    after, observed = observe(before, use, message, product=product, decided_us=appended_us, excused=excused)
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
    state = adopt(state, product, watermark_us, excused)
    state, notices = kinds.settle(state, product, watermark_us, excused)
    return Outcome(state, worded(state, product, customer_id, notices))


def _short_way(
    state: CustomerState | None, event: Event, product: Product, appended_us: int, watermark_us: int
) -> CustomerState | None:
    """The state after a use of which nothing is to be told; None where that takes a closer look."""
    us = event.occurred_us
    if us is None or event.backfill:
        return None
    if not appended_us - product.late_window_us <= us <= appended_us + FUTURE_TOLERANCE_US:
        return None
    if state is not None:
        return plain.after_use(state, us, event, product, watermark_us)
    return _after_first_use(
        product, day_of(product.defaults.zone, product.defaults.day_starts, us), event.event
    )


@lru_cache(1024)
def _after_first_use(product: Product, day: int, name: str) -> CustomerState | None:
    """The state after a customer's first use of all: one value for all who begin on the same day.

    None where something is told of it, where more counts than its day and name, or where it says more than
    when the customer is due.
    """
    if named_filters(product.filters, name)[1]:
        return None
    if any(isinstance(rule, CountRule | DeclineRule) for rule in product.rules):
        return None
    event = Event(product=product.id, customer_id="", event_id="", event=name, received_us=0)
    nobody = profiles.fresh(Profile(), product, 0)
    state, notices = observe(nobody, Use(day, None), event, product=product, decided_us=0)
    return None if notices else state


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
    if not is_due and not excused and not corrects and not kinds.is_behind(state, product, watermark_us):
        return state, []
    if message.backfill and not corrects and not kinds.may_tell(state, product, watermark_us, excused):
        # History comes in many records, and none of the days due could be told: judging them after
        # every record would only repeat what the next tick does once.
        return state, []
    return kinds.settle(state, product, watermark_us, excused)


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
    event: Event,
    *,
    product: Product,
    decided_us: int,
    excused: frozenset[int] = NONE_EXCUSED,
) -> tuple[CustomerState, list[Notice]]:
    """A use in its day, and what every rule has to say of it."""
    filters = passed_filters(product.filters, event.event, event.properties)
    bit = use.day - state.base
    new = [key for key in filters if bit < 0 or not state.active.get(key, 0) >> bit & 1]
    concerned = [rule for rule in product.rules if rule.filter in filters]
    if not new and not any(kinds.awaits(rule, state.rules.get(rule.name), bit) for rule in concerned):
        return state, []
    after = _with_day(state, use.day, new) if new else state
    rules = dict(after.rules)
    if EVERY_EVENT in new and use.day == first_active_day(after):
        rules = kinds.first_used(after, product, decided_us, backfill=event.backfill)
    moment = Moment(decided_us, use.day, use.occurred_us)
    seen = kinds.Seen(use.day, event.event_id, moment, event.backfill)
    notices: list[Notice] = []
    for rule in concerned:
        past = past_of(after, rule.filter, excused)
        kept, told = kinds.observe(rule, rules.get(rule.name), past, seen, is_new=rule.filter in new)
        if kept is not None:
            rules[rule.name] = kept
        notices += told
    if not new and rules == state.rules:
        return state, []
    return kinds.with_due(msgspec.structs.replace(after, rules=rules), product, excused), notices


def _with_day(state: CustomerState, day: int, filters: Iterable[str]) -> CustomerState:
    """The day added to the active days of some filters; an earlier day than any moves the base."""
    if not state.active:
        state = msgspec.structs.replace(state, base=day)
    elif day < state.base:
        state = _rebased(state, day)
    bit = 1 << (day - state.base)
    active = dict(state.active)
    for key in filters:
        active[key] = active.get(key, 0) | bit
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


def worded(
    state: CustomerState, product: Product, customer_id: str, notices: list[Notice]
) -> tuple[Trigger, ...]:
    """The triggers of what was decided, in order."""
    return to_triggers(notices, state, product.id, customer_id) if notices else ()
