"""The rule `decline`: the active ones of the last days fell against the mean of those before.

Read over open days: those that the calendar expects, and those that are active all the same. A closed
day is passed over, so that a holiday is no decline. Weekdays that were learned as closed are not: what has
become fewer must not be explained by itself. Decision record 0007.
"""

import msgspec

from services.evaluator.core import days
from services.evaluator.core.history import History
from services.evaluator.core.notice import Notice
from services.evaluator.core.past import Past
from services.evaluator.core.rules import DeclineRule
from services.evaluator.core.state import DeclineState
from shared.triggers import Reason

_LOOK_AHEAD_DAYS_MAX = 400  # a closed year wakes the customer once in between, and that is all
_LOOK_CLOSELY_DAYS_MAX = 3


class Counts(msgspec.Struct, frozen=True):
    """Active days among the last open ones and among those before; `lack`: open days missing to compare."""

    recent: int
    before: int
    lack: int = 0


def deadline_us(rule: DeclineRule, past: Past, day: int) -> int:
    """A day is judged by the first tick later than this: its end and the rule's grace."""
    return past.cutoff_us(day, None) + rule.grace_us


def settle(
    rule: DeclineRule, state: DeclineState, past: Past, *, watermark_us: int, is_due: bool = True
) -> tuple[DeclineState, list[Notice]]:
    """Judges the days whose deadline the watermark has passed, in order; told is a fall, not a low.

    While it is not due the days that pass are as the last one was: they pass before anything new is known.
    """
    settled, is_down = state.settled, state.is_down
    notices: list[Notice] = []
    while past.active and deadline_us(rule, past, settled + 1) < watermark_us:
        settled += 1
        was_down, is_down = is_down, is_down_on(rule, past, settled) if is_due else is_down
        if is_down and not was_down and settled >= state.told_from:
            notices.append(_declined(rule, past, settled, watermark_us))
    if settled == state.settled:
        return state, []
    return DeclineState(settled, state.told_from, is_down), notices


def is_behind(rule: DeclineRule, state: DeclineState, past: Past, watermark_us: int) -> bool:
    """Whether the watermark has passed days that are not judged: nothing could be told of them so far."""
    return deadline_us(rule, past, state.settled + 1) < watermark_us


def learned_of_history(rule: DeclineRule, state: DeclineState, past: Past, day: int) -> DeclineState:
    """History has arrived in a day judged already: what stands at the last one is read anew, in silence."""
    if day > state.settled:
        return state
    told_from = max(state.told_from, state.settled + 1)
    return DeclineState(state.settled, told_from, is_down_on(rule, past, state.settled))


def met(rule: DeclineRule, kept: DeclineState | None, past: Past, watermark_us: int) -> DeclineState | None:
    """The state of a rule added or changed later: who is down already counts as told."""
    if not past.active:
        return None
    first = past.base + days.lowest(past.active)
    day = past.base if kept is None else kept.settled + 1
    while deadline_us(rule, past, day) < watermark_us:
        day += 1
    settled = max(day, first) - 1
    was_down = kept is not None and kept.is_down
    return DeclineState(settled, settled + 1, was_down or is_down_on(rule, past, settled))


def is_down_on(rule: DeclineRule, past: Past, day: int) -> bool:
    """Whether the drop is there at the end of a day, as far as that day knows."""
    return _is_down(rule, counts_on(rule, past, day))


def counts_on(rule: DeclineRule, past: Past, day: int) -> Counts:
    """The two counts at the end of a day."""
    if day < past.base + days.lowest(past.active):
        return Counts(0, 0, rule.recent_days + rule.baseline_days)
    found = past.open_days(day)
    lack = rule.recent_days + rule.baseline_days - found.bit_count()
    if lack > 0:
        return Counts(0, 0, lack)
    recent = days.begin_of_last(found, rule.recent_days)
    before = days.begin_of_last(found & (1 << recent) - 1, rule.baseline_days)
    active = past.active & (1 << day - past.base + 1) - 1
    return Counts((active >> recent).bit_count(), (active >> before & (1 << recent - before) - 1).bit_count())


def due_us(rule: DeclineRule, state: DeclineState, past: Past) -> int | None:
    """The first deadline at which it could be judged otherwise than on the last day, if nothing is used.

    It may be too early, never too late: days before it need no judgement.
    """
    if not past.active:
        return None
    last_use = past.base + days.highest(past.active)
    first = state.settled + 1
    known_on = max(first, last_use)
    if known_on - first >= _LOOK_CLOSELY_DAYS_MAX or past.segments[-1].from_day > known_on:
        return deadline_us(rule, past, first)
    for day in range(first, known_on + 1):
        if is_down_on(rule, past, day) != state.is_down:
            return deadline_us(rule, past, day)
    silent_days = _silent_days_to_change(rule, counts_on(rule, past, known_on))
    if silent_days is None:
        return None
    return deadline_us(rule, past, _open_day_after(past, known_on, silent_days))


def read_history(rule: DeclineRule, history: History) -> tuple[DeclineState, list[Notice]]:
    """A whole history read as if live: no use of a day is read after its deadline."""
    past = history.past
    first = past.base + days.lowest(past.active)
    state, notices = settle(
        rule,
        DeclineState(first - 1, first),
        past,
        watermark_us=deadline_us(rule, past, history.last_on) + 1,
    )
    return state, [
        msgspec.structs.replace(notice, decided_us=deadline_us(rule, past, notice.day)) for notice in notices
    ]


def _is_down(rule: DeclineRule, counts: Counts) -> bool:
    kept, whole = rule.kept
    mean = counts.before * rule.recent_days
    return counts.before > 0 and counts.recent * rule.baseline_days * whole <= mean * kept


def _silent_days_to_change(rule: DeclineRule, counts: Counts) -> int | None:
    """After how many open days without use a fall, or its end, is possible at the earliest; None: never.

    Each of them takes at most one active day from the last ones, and gives it to those before, which lose
    at most one too.
    """
    if counts.lack > 0:
        return counts.lack
    if _is_down(rule, counts):
        changed = (Counts(counts.recent, counts.before - silent) for silent in range(1, counts.before + 1))
        return next(n for n, after in enumerate(changed, 1) if not _is_down(rule, after))
    for silent in range(1, counts.recent + 1):
        before = min(counts.before + silent, rule.baseline_days)
        if _is_down(rule, Counts(counts.recent - silent, before)):
            return silent
    return None


def _open_day_after(past: Past, day: int, count: int) -> int:
    for _ in range(_LOOK_AHEAD_DAYS_MAX):
        day += 1
        count -= past.may_be_expected(day)
        if count == 0:
            break
    return day


def _declined(rule: DeclineRule, past: Past, day: int, decided_us: int) -> Notice:
    counts = counts_on(rule, past, day)
    return Notice(
        kind="declined",
        rule=rule.name,
        type=rule.emit,
        day=day,
        timestamp_us=past.cutoff_us(day, None),
        decided_us=decided_us,
        id_episode=day,
        count=counts.recent,
        reasons=(
            Reason(
                code="decline",
                values={
                    "active": counts.recent,
                    "days": rule.recent_days,
                    "active_before": counts.before,
                    "days_before": rule.baseline_days,
                },
            ),
        ),
        streak=past.streak_before(day + 1),
    )
