"""The rule `count`: so many events, or active days, in the first days from an anchor; told once a customer.

An event is known by a hash of its id and its usage day, as long as the window is open and the count is
short of what is asked: never more than twice `at_least` of them. Decision record 0006 says what is
counted, and why it is told once.
"""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from services.evaluator.core import days
from services.evaluator.core.history import History
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import Past, past_until
from services.evaluator.core.rules import CountRule
from services.evaluator.core.state import CountState, RuleState
from shared.triggers import MISSED_SUFFIX


def hash_of(event_id: str) -> int:
    """64 bits: two ids of one customer fall together once in some 10^13 windows of a thousand."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big")


def due_us(rule: CountRule, state: CountState, past: Past) -> int | None:
    """When the window is judged; or, where it was known only after it was reached, at the next tick."""
    if state.stage != "waiting" or state.anchor_on is None:
        return None
    if count(rule, state, past) >= rule.at_least:
        return state.known_us
    return _closes_us(rule, state, past) + rule.grace_us


def settle(
    rule: CountRule, state: CountState, past: Past, *, watermark_us: int
) -> tuple[CountState, list[Notice]]:
    """A window that has closed short is told; one that had closed before it was known is nobody's."""
    due = due_us(rule, state, past)
    if due is None or due >= watermark_us:
        return state, []
    if _closes_us(rule, state, past) < state.known_us:
        return _at_stage(state, "over"), []
    found = count(rule, state, past)
    if found < rule.at_least:
        return _at_stage(state, "told"), [_missed(rule, state, past, found, watermark_us)]
    reached = _reached(rule, past, _last_counted(rule, state, past), Moment(watermark_us))
    return _at_stage(state, "told"), [reached]


def observe(
    rule: CountRule,
    state: CountState,
    past: Past,
    day: int,
    event_id: str,
    moment: Moment,
    *,
    silently: bool,
) -> tuple[CountState, list[Notice]]:
    """An event that matches: told if it is the one that was missing."""
    if state.stage != "waiting":
        return state, []
    if not rule.of_days:
        state = _with_event(rule, state, day, hash_of(event_id))
    if state.anchor_on is None:
        return state, []
    found = count(rule, state, past)
    if found < rule.at_least or not _is_in_window(rule, state, day):
        return state, []
    return _at_stage(state, "told"), [] if silently else [_reached(rule, past, day, moment)]


class Read(msgspec.Struct, frozen=True):
    """An event of a history, when it is read, and its instant where that is known."""

    read_us: int
    day: int
    occurred_us: int | None
    event_id: str


def read_history(
    rule: CountRule, kept: RuleState | None, history: History, reads: Sequence[Read]
) -> tuple[CountState, list[Notice]]:
    """A whole history read as if live, event by event, up to the end of the window."""
    past = history.past
    state = kept if isinstance(kept, CountState) else begun(rule)
    if state.anchor_on is None:
        return state, []
    deadline = _closes_us(rule, state, past) + rule.grace_us
    for read in reads:
        if read.read_us >= deadline:
            break
        by_then = past_until(past, read.day) if rule.of_days else past
        moment = Moment(read.read_us, read.day, read.occurred_us)
        state, told = observe(rule, state, by_then, read.day, read.event_id, moment, silently=False)
        if told:
            return state, told
    if last_day(rule, state) > history.last_on:
        return state, []
    state, told = settle(rule, state, past, watermark_us=deadline + 1)
    return state, [msgspec.structs.replace(notice, decided_us=deadline) for notice in told]


def anchored(
    rule: CountRule, state: CountState, past: Past, anchor_on: int | None, known_us: int
) -> CountState:
    """The window moves to where its anchor is now known to be; a count that is over stays so."""
    if state.stage != "waiting" or anchor_on == state.anchor_on:
        return state
    moved = CountState(anchor_on, known_us, state.watched_from, state.counted)
    if anchor_on is None:
        return moved
    is_known_in_part = anchor_on < state.watched_from and count(rule, moved, past) < rule.at_least
    return _at_stage(moved, "over") if is_known_in_part else moved


def begun(rule: CountRule) -> CountState:
    """A count of which nothing is known yet."""
    return CountState(None, 0, 0, None if rule.of_days else ())


def begun_anew(kept: CountState, begun: CountState) -> CountState:
    """What was counted under a rule that was changed, where it counts the same."""
    if (kept.counted is None) != (begun.counted is None):
        return begun
    return CountState(None, 0, kept.watched_from, kept.counted)


def silenced(rule: CountRule, state: CountState, past: Past) -> CountState:
    """What is reached by now counts as told."""
    if state.stage != "waiting" or state.anchor_on is None or count(rule, state, past) < rule.at_least:
        return state
    return _at_stage(state, "told")


def count(rule: CountRule, state: CountState, past: Past) -> int:
    """What lies in the window so far."""
    assert state.anchor_on is not None
    if rule.of_days:
        return past.active_count(state.anchor_on, last_day(rule, state))
    return sum(_is_in_window(rule, state, day) for day, _ in state.counted or ())


def last_day(rule: CountRule, state: CountState) -> int:
    """The last usage day of the window."""
    assert state.anchor_on is not None
    return state.anchor_on + rule.within_days - 1


def _is_in_window(rule: CountRule, state: CountState, day: int) -> bool:
    return state.anchor_on is not None and state.anchor_on <= day <= last_day(rule, state)


def _closes_us(rule: CountRule, state: CountState, past: Past) -> int:
    return past.cutoff_us(last_day(rule, state), None)


def _with_event(rule: CountRule, state: CountState, day: int, id_hash: int) -> CountState:
    """The event remembered, if it is a new one that may come to lie in the window.

    A contract may be told late, or corrected: the newest events outside of the present window are kept
    too, as many as could matter. Where one is let go, its day is no longer known in full.
    """
    counted = state.counted or ()
    if any(known == id_hash for _, known in counted):
        return state
    kept = sorted((*counted, (day, id_hash)))
    watched_from = state.watched_from
    outside = [event for event in kept if not _is_in_window(rule, state, event[0])]
    if not rule.by_contract:
        kept = [event for event in kept if event not in outside]
    elif len(outside) > rule.at_least:
        kept.remove(outside[0])
        watched_from = max(watched_from, outside[0][0] + 1)
    return CountState(state.anchor_on, state.known_us, watched_from, tuple(kept))


def _at_stage(state: CountState, stage: str) -> CountState:
    return CountState(state.anchor_on, state.known_us, state.watched_from, (), stage)


def _last_counted(rule: CountRule, state: CountState, past: Past) -> int:
    """The last day counted so far."""
    assert state.anchor_on is not None
    if not rule.of_days:
        return max(day for day, _ in state.counted or () if _is_in_window(rule, state, day))
    until = past_until(past, last_day(rule, state)).active
    return past.base + days.highest(until)


def _reached(rule: CountRule, past: Past, day: int, moment: Moment) -> Notice:
    occurred_us = moment.occurred_us if moment.day == day else None
    return Notice(
        kind="reached",
        rule=rule.name,
        type=rule.emit,
        day=day,
        timestamp_us=past.opens_us(day) if occurred_us is None else occurred_us,
        decided_us=moment.decided_us,
        count=rule.at_least,
        streak=past.streak_ending(day, day),
    )


def _missed(rule: CountRule, state: CountState, past: Past, found: int, decided_us: int) -> Notice:
    last = last_day(rule, state)
    return Notice(
        kind="missed",
        rule=rule.name,
        type=rule.emit + MISSED_SUFFIX,
        day=last,
        timestamp_us=_closes_us(rule, state, past),
        decided_us=decided_us,
        count=found,
        streak=past.streak_before(last + 1),
    )
