"""The rule `absence` with an anchor: a contract began, and its first days passed without use."""

from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import Past
from services.evaluator.core.rules import NeverStartedRule
from services.evaluator.core.state import NeverStartedState
from shared.triggers import RESUMED

_FAR = 1 << 22  # beyond any day there is


def due_us(rule: NeverStartedRule, state: NeverStartedState, past: Past) -> int | None:
    """The deadline of the window's last day while it is awaited."""
    if state.stage != "waiting":
        return None
    return _cutoff_us(rule, state, past) + rule.grace_us


def settle(
    rule: NeverStartedRule, state: NeverStartedState, past: Past, *, watermark_us: int
) -> tuple[NeverStartedState, list[Notice]]:
    """Told once the window has passed without use, unless it had passed before anything was known of it.

    Who was seen after the window by the time it is judged has started: nobody needs to call.
    """
    deadline = due_us(rule, state, past)
    if deadline is None or deadline >= watermark_us:
        return state, []
    cutoff = _cutoff_us(rule, state, past)
    if past.is_used(state.contract_on, _FAR) or cutoff < state.known_us:
        return _at_stage(state, "over"), []
    told = (last_day(rule, state), rule.emit)
    return NeverStartedState(state.contract_on, state.known_us, "told", told), [
        Notice(
            kind="stopped",
            rule=rule.name,
            type=rule.emit,
            day=last_day(rule, state),
            timestamp_us=cutoff,
            decided_us=watermark_us,
            id_day=last_day(rule, state),
            id_episode=state.contract_on,
            cutoff_us=cutoff,
            episode_day=1,
        )
    ]


def observe(
    rule: NeverStartedRule, state: NeverStartedState, past: Past, day: int, moment: Moment
) -> tuple[NeverStartedState, list[Notice]]:
    """A use: inside the window it takes back what was told, after it it ends it."""
    last = last_day(rule, state)
    if state.stage != "told" or day < state.contract_on:
        return state, []
    in_time = moment.occurred_us is None or moment.occurred_us < _cutoff_us(rule, state, past)
    if day <= last and in_time:
        return _at_stage(state, "over"), [_retracted(rule, state, past, moment)]
    return _at_stage(state, "over"), [_resumed(rule, state, past, day, moment)]


def last_day(rule: NeverStartedRule, state: NeverStartedState) -> int:
    """The last usage day of the window; of one that was told, as it was then."""
    return state.told[0] if state.told else state.contract_on + rule.within_days - 1


def over(state: NeverStartedState) -> NeverStartedState:
    """The state of a window that is nobody's."""
    return _at_stage(state, "over")


def _at_stage(state: NeverStartedState, stage: str) -> NeverStartedState:
    return NeverStartedState(state.contract_on, state.known_us, stage)


def edited(state: NeverStartedState, watermark_us: int) -> NeverStartedState:
    """The state under a rule that was changed: a window that has closed by then is nobody's any more."""
    if state.stage != "waiting":
        return state
    return NeverStartedState(state.contract_on, max(state.known_us, watermark_us))


def _cutoff_us(rule: NeverStartedRule, state: NeverStartedState, past: Past) -> int:
    return past.cutoff_us(last_day(rule, state), rule.cutoff)


def _retracted(rule: NeverStartedRule, state: NeverStartedState, past: Past, moment: Moment) -> Notice:
    assert state.told is not None
    last, type_ = state.told
    return Notice(
        kind="retracted",
        rule=rule.name,
        type=f"{type_}.retracted",
        day=last,
        timestamp_us=moment.decided_us,
        decided_us=moment.decided_us,
        id_day=last,
        id_episode=state.contract_on,
        stopped_id_day=last,
        stopped_id_type=type_,
        cutoff_us=_cutoff_us(rule, state, past),
        streak=past.streak_before(last + 1),
    )


def _resumed(
    rule: NeverStartedRule, state: NeverStartedState, past: Past, day: int, moment: Moment
) -> Notice:
    assert state.told is not None
    last, type_ = state.told
    return Notice(
        kind="resumed",
        rule=rule.name,
        type=RESUMED,
        day=day,
        timestamp_us=past.opens_us(day) if moment.occurred_us is None else moment.occurred_us,
        decided_us=moment.decided_us,
        id_day=last,
        id_episode=state.contract_on,
        stopped_id_day=last,
        stopped_id_type=type_,
        missed_days=min(rule.within_days, max(day - state.contract_on, 0)),
        streak=past.streak_ending(day, day),
    )
