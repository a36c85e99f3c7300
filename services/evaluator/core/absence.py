"""The rule `absence`: an expected day passed without use.

Days are settled in order, uses and excused days change what was settled; what is told of it is in `stops`.
"""

from functools import partial

from services.evaluator.core import days
from services.evaluator.core.history import History
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import Past
from services.evaluator.core.rules import AbsenceRule
from services.evaluator.core.state import AbsenceState, Stop
from services.evaluator.core.stops import (
    NEVER,
    Before,
    Episode,
    day_cutoff_us,
    deadline_us,
    episodes,
    tell,
    tell_episode,
    where_raised,
)

_LOOK_AHEAD_DAYS_MAX = 400  # a closed year wakes the customer once in between, and that is all


def settle(
    rule: AbsenceRule, state: AbsenceState, past: Past, *, watermark_us: int
) -> tuple[AbsenceState, list[Notice]]:
    """Takes out the excused days, then judges the days whose deadline the watermark has passed, in order,
    each once.

    Active days need no judgement, so `settled` may stay behind a run of them.
    """
    moment = Moment(watermark_us)
    state, notices = _excused(rule, state, past, moment)
    settled = state.settled
    told_out_until = 0
    day = past.first_inactive(settled + 1)
    while deadline_us(rule, past, day) < watermark_us:
        settled = day
        if past.is_expected(day):
            missed = state.missed | 1 << (day - past.base)
            state = AbsenceState(day, state.told_from, missed, state.told)
            if day >= told_out_until:
                state, told = tell(rule, state, past, around=day, moment=moment)
                notices += told
                told_out_until = _told_out_until(rule, state, past, day)
        day = past.first_inactive(day + 1)
    if settled == state.settled:
        return state, notices
    return AbsenceState(settled, state.told_from, state.missed, state.told), notices


def observe(
    rule: AbsenceRule,
    state: AbsenceState,
    past: Past,
    day: int,
    moment: Moment,
    *,
    is_new: bool,
    backfill: bool,
) -> tuple[AbsenceState, list[Notice]]:
    """A use on `day`, which is active already in `past`: ends, retracts or moves what stood.

    `is_new` False: the day was active before; then only a use in time on a missed day says something new.
    """
    if day > state.settled:
        if not is_new or not state.told or all(stop.resumed for stop in state.told):
            return state, []
        return tell(rule, state, past, around=day, moment=moment, silently=backfill)
    takes_out = is_missed(state, past, day) and _is_in_time(rule, past, day, moment)
    if not is_new and not takes_out:
        return state, []
    before = Before(state.missed, past.active & ~(is_new << (day - past.base)))
    if backfill and not any(stop.day >= day or not stop.resumed for stop in state.told):
        # Where the calendar closes every settled day from it on, there was nothing to judge.
        if any(past.may_be_expected(settled) for settled in range(day, state.settled + 1)):
            state = _rewound(state, past, day)
    elif takes_out:
        state = _without(state, past, day)
    return tell(rule, state, past, around=day, moment=moment, silently=backfill, before=before)


def is_missed(state: AbsenceState, past: Past, day: int) -> bool:
    """Whether the day is settled as missed."""
    return day >= past.base and bool(state.missed >> (day - past.base) & 1)


def is_silent(state: AbsenceState, past: Past) -> bool:
    """Whether the customer has not been back since the last missed day: then days may pass unjudged."""
    return state.missed.bit_length() > past.active.bit_length()


def _is_in_time(rule: AbsenceRule, past: Past, day: int, moment: Moment) -> bool:
    return moment.occurred_us is None or moment.occurred_us < day_cutoff_us(rule, past, day)


def read_history(rule: AbsenceRule, history: History) -> tuple[AbsenceState, list[Notice]]:
    """A whole history read as if live: the same as folding it use by use, each day settled at its deadline.

    Which days were missed depends on the days before them alone, so all of them are found first, and what
    stands is read from the sets once.
    """
    past = history.past
    first = past.base + days.lowest(past.active)
    missed = history.expected_among(_unread(rule, history))
    told: list[Stop] = []
    notices: list[Notice] = []
    moment_of = partial(_moment_of, rule, history)
    for episode in episodes(missed, past, 0):
        stops, fresh = tell_episode(rule, past, episode, [], first, first, frozenset(), moment_of)
        told += stops
        notices += fresh
    return AbsenceState(history.last_on, first, missed, tuple(told)), notices


def judge_history(rule: AbsenceRule, history: History) -> AbsenceState:
    """The state that `read_history` ends in, without a word of it.

    Where the calendar alone decides, a stop stands on the first missed day of every silence, and those are
    found for all silences at once: nothing surprises, and nothing has to be read day by day.
    """
    if rule.from_history or rule.again:
        return read_history(rule, history)[0]
    past = history.past
    missed = history.expected_among(_unread(rule, history))
    starts = days.firsts(missed, past.active)
    if rule.min_streak > 1:
        starts = _after_enough(rule, past, starts)
    first, used_until = past.base + days.lowest(past.active), past.active.bit_length()
    told = [Stop(past.base + bit, past.base + bit, rule.emit, bit < used_until) for bit in days.each(starts)]
    return AbsenceState(history.last_on, first, missed, tuple(told))


def _after_enough(rule: AbsenceRule, past: Past, starts: int) -> int:
    """The first missed days before which the streak was long enough for a stop."""
    if past.active.bit_count() < rule.min_streak:
        return 0
    long = [bit for bit in days.each(starts) if past.streak_before(past.base + bit).length >= rule.min_streak]
    return days.set_of(long, 0)


def _unread(rule: AbsenceRule, history: History) -> int:
    """The days of which no use was read before their deadline."""
    past = history.past
    found = days.span(0, history.length - 1) & ~past.active
    # A use known by its day alone is in time for any cutoff.
    for day, occurred_us in history.instants.items():
        if occurred_us >= deadline_us(rule, past, day):
            found |= 1 << (day - past.base)
    return found


def _moment_of(rule: AbsenceRule, history: History, missed_on: int, back_on: int | None) -> Moment:
    """When a missed day of a history, or the use after it, would have been told live."""
    stopped_us = deadline_us(rule, history.past, missed_on)
    if back_on is None or (read_us := history.read_us(back_on)) < stopped_us:
        return Moment(stopped_us)
    return Moment(read_us, back_on, history.instants.get(back_on))


def prune(state: AbsenceState, past: Past, before: int) -> AbsenceState:
    """Forgets the stops told of episodes that no event can touch any more: ended before the day `before`.

    What is forgotten is not told again either, whatever is excused in hindsight.
    """
    if not state.told:
        return state
    gone = [stop for stop in state.told if stop.resumed and past.is_used(stop.day, before - 1)]
    if not gone:
        return state
    kept = tuple(stop for stop in state.told if stop not in gone)
    told_from = max(state.told_from, max(stop.day for stop in gone) + 1)
    return AbsenceState(state.settled, told_from, state.missed, kept)


def met(rule: AbsenceRule, past: Past, watermark_us: int) -> AbsenceState | None:
    """The state of a rule added later: the stored days are judged, none of them is told."""
    if not past.active:
        return None
    return AbsenceState(past.base - 1, first_unsettled(rule, past, watermark_us))


def edited(rule: AbsenceRule, state: AbsenceState, past: Past, watermark_us: int) -> AbsenceState:
    """The state under a rule that was changed: what it would now have told of settled days is not told.

    What was told stays, with its end and its retraction to come.
    """
    told_from = max(state.told_from, state.settled + 1, first_unsettled(rule, past, watermark_us))
    return AbsenceState(state.settled, told_from, state.missed, state.told)


def first_unsettled(rule: AbsenceRule, past: Past, watermark_us: int) -> int:
    """The first usage day, from the first use on, whose deadline the watermark has not passed."""
    day = past.base
    while deadline_us(rule, past, day) < watermark_us:
        day += 1
    return day


def due_us(rule: AbsenceRule, state: AbsenceState, past: Past) -> int | None:
    """The deadline of the next day that may be missed; None when nothing can be told before the next use."""
    if not past.active or not _may_tell_more(rule, state, past):
        return None
    return next_deadline_us(rule, state, past)


def next_deadline_us(rule: AbsenceRule, state: AbsenceState, past: Past) -> int:
    """The deadline of the next day that may be missed, whatever may be told of it."""
    day = past.first_inactive(state.settled + 1)
    for _ in range(_LOOK_AHEAD_DAYS_MAX):
        if past.may_be_expected(day):
            break
        day = past.first_inactive(day + 1)
    return deadline_us(rule, past, day)


def _may_tell_more(rule: AbsenceRule, state: AbsenceState, past: Past) -> bool:
    """Whether a further missed day could be told: always, unless the silence has been told to the end."""
    if not is_silent(state, past):
        return True
    (episode,) = episodes(state.missed, past, past.active.bit_length())
    return not _is_told_out(rule, state, past, episode)


def _told_out_until(rule: AbsenceRule, state: AbsenceState, past: Past, day: int) -> int:
    """Up to which day the episode of the missed `day`, the latest there is, has nothing more to tell.

    A silence of years is then counted, not read anew every day.
    """
    last_use = days.highest_below(past.active, day - past.base)
    *_, episode = episodes(state.missed, past, 0 if last_use is None else last_use + 1)
    if not _is_told_out(rule, state, past, episode):
        return 0
    return NEVER if episode.ended_on is None else episode.ended_on


def _is_told_out(rule: AbsenceRule, state: AbsenceState, past: Past, episode: Episode) -> bool:
    """Whether no further missed day of an episode could be told, as long as nothing else changes."""
    told = [stop for stop in state.told if stop.episode == episode.start]
    if told:
        return not any(k > len(episode.missed) for k in rule.again)
    if past.streak_before(episode.start).length < rule.min_streak:
        return True
    raised = where_raised(rule, past, episode)
    return raised is not None and episode.missed[raised.episode_day - 1] < state.told_from


def _excused(
    rule: AbsenceRule, state: AbsenceState, past: Past, moment: Moment
) -> tuple[AbsenceState, list[Notice]]:
    notices: list[Notice] = []
    for day in sorted(past.excused) if state.missed else ():
        if is_missed(state, past, day):
            before = Before(state.missed, past.active)
            state = _without(state, past, day)
            state, told = tell(rule, state, past, around=day, moment=moment, before=before)
            notices += told
    return state, notices


def _without(state: AbsenceState, past: Past, day: int) -> AbsenceState:
    bit = 1 << (day - past.base)
    return AbsenceState(state.settled, state.told_from, state.missed & ~bit, state.told)


def _rewound(state: AbsenceState, past: Past, day: int) -> AbsenceState:
    """History has arrived before settled days: they will be judged anew, silently."""
    kept = state.missed & (days.span(0, day - 1 - past.base) if day > past.base else 0)
    return AbsenceState(day - 1, max(state.told_from, state.settled + 1), kept, state.told)
