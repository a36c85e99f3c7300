"""The rule `streak`: so many days in a row, told at the use that completes them."""

from services.evaluator.core import days
from services.evaluator.core.history import History
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import Past, Streak
from services.evaluator.core.rules import StreakRule
from services.evaluator.core.state import StreakState

_TOLD_MAX = 32
_WEEKS_MAX = 8  # looked at, to leave out days: more would leave out few more


def observe(
    rule: StreakRule, state: StreakState, past: Past, day: int, moment: Moment, *, silently: bool
) -> tuple[StreakState, list[Notice]]:
    """A new active day: told if it completes a streak that was not told yet.

    A late day may join what lies after it, so the days after it are read too, in order.
    """
    if (state.told and not rule.repeat) or _too_few(rule, past):
        return state, []
    reached = _first_reached(rule, past, day)
    if reached is None or _is_told(state, past, reached):
        return state, []
    told = StreakState((*state.told, reached.last_on)[-_TOLD_MAX:])
    return told, [] if silently else [_reached(rule, past, reached, moment)]


def read_history(rule: StreakRule, history: History) -> tuple[StreakState, list[Notice]]:
    """A whole history read as if live: each active day judged with what was known on it."""
    past = history.past
    state = StreakState()
    notices: list[Notice] = []
    for bit in days.each(_may_complete(rule, history)):
        if state.told and not rule.repeat:
            break
        day = past.base + bit
        streak = past.streak_ending(day, day)
        if _is_enough(rule, streak) and not any(streak.started_on <= told for told in state.told):
            state = StreakState((*state.told, day)[-_TOLD_MAX:])
            moment = Moment(history.read_us(day), day, history.instants.get(day))
            notices.append(_reached(rule, past, streak, moment))
    return state, notices


def _may_complete(rule: StreakRule, history: History) -> int:
    """The active days on which a streak may be long enough: all that its last weeks miss is closed by then.

    A streak so long spans at least as many days, so its last whole weeks lie within it.
    """
    past = history.past
    found = past.active & ~((1 << rule.days - 1) - 1)
    if past.closings is None:
        return found & ~days.smeared(past.holes, rule.days)
    weeks = min((rule.days - 1) // days.WEEK, _WEEKS_MAX)
    missed_lately = 0
    for week in range(1, weeks + 1):
        missed_lately |= past.holes << days.WEEK * week
    for later, closed in enumerate(past.closings.closed):
        found &= ~(missed_lately >> later) | closed | ~past.closings.told
    return found


def _too_few(rule: StreakRule, past: Past) -> bool:
    return not rule.by_calendar and past.active.bit_count() < rule.days


def _is_enough(rule: StreakRule, streak: Streak) -> bool:
    return (streak.calendar_days if rule.by_calendar else streak.length) >= rule.days


def _first_reached(rule: StreakRule, past: Past, day: int) -> Streak | None:
    """The streak through `day` as it was when it first was long enough, `last_on` being that day."""
    for bit in days.each(past.active >> (day - past.base)):
        streak = past.streak_ending(day + bit, day + bit)
        if streak.started_on > day:
            return None
        if _is_enough(rule, streak):
            return streak
    return None


def _is_told(state: StreakState, past: Past, reached: Streak) -> bool:
    """Whether a told day lies in the same streak, read on to its present end."""
    if any(reached.started_on <= told <= reached.last_on for told in state.told):
        return True
    return any(
        told > reached.last_on and past.streak_ending(told, told).started_on <= reached.last_on
        for told in state.told
    )


def _reached(rule: StreakRule, past: Past, streak: Streak, moment: Moment) -> Notice:
    occurred_us = moment.occurred_us if moment.day == streak.last_on else None
    return Notice(
        kind="reached",
        rule=rule.name,
        type=rule.emit,
        day=streak.last_on,
        timestamp_us=past.opens_us(streak.last_on) if occurred_us is None else occurred_us,
        decided_us=moment.decided_us,
        id_day=streak.last_on if rule.repeat else 0,
        streak=streak,
    )


def told_before(rule: StreakRule, past: Past, state: StreakState) -> StreakState:
    """The state of a rule added or changed later: what the stored days reached already counts as told.

    What was told before stays so; where streaks repeat, as far as it is a day of this rule's.
    """
    if rule.repeat:
        state = StreakState(tuple(day for day in state.told if past.is_active(day)))
    for bit in days.each(past.active):
        if state.told and not rule.repeat:
            break
        state, _ = observe(rule, state, past, past.base + bit, _LONG_AGO, silently=True)
    return state


_LONG_AGO = Moment(0)
