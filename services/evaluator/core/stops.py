"""What stands and what was told of a customer's silences: the difference between them is what is emitted.

Three sets say everything: the active days, the missed days and the stops told. Decision record 0003 has the
definitions.
"""

from collections.abc import Callable, Iterable, Iterator
from math import expm1

import msgspec

from services.evaluator.core import days
from services.evaluator.core.expectation import Expectation, combine, log_of_silence
from services.evaluator.core.notice import Moment, Notice
from services.evaluator.core.past import Past, Streak
from services.evaluator.core.rules import AbsenceRule
from services.evaluator.core.state import AbsenceState, Stop
from shared.triggers import RESUMED, Reason

MomentOf = Callable[[int, int | None], Moment]
"""When it is told that a day was missed; with the day of the next use, when that its silence is over."""

NEVER = 1 << 62
"""As the day from which on a stop may be told."""


class Before(msgspec.Struct, frozen=True):
    """The sets of missed and active days as they were before a change."""

    missed: int
    active: int


class Episode(msgspec.Struct, frozen=True):
    """`missed`: its missed days in order, the first one being its start; `ended_on`: the next use."""

    missed: tuple[int, ...]
    ended_on: int | None

    @property
    def start(self) -> int:
        return self.missed[0]


class _Raised(msgspec.Struct, frozen=True):
    """Where in an episode its stop stands: the k-th missed day, and how surprising they were."""

    episode_day: int
    surprise: float
    reasons: tuple[Reason, ...]
    streak: Streak


def deadline_us(rule: AbsenceRule, past: Past, day: int) -> int:
    """The day is settled by the first tick later than this: its cutoff and the rule's grace."""
    return past.cutoff_us(day, rule.cutoff) + rule.grace_us


def day_cutoff_us(rule: AbsenceRule, past: Past, day: int) -> int:
    """The instant from which a use of that day no longer counts as in time."""
    return past.cutoff_us(day, rule.cutoff)


def tell(
    rule: AbsenceRule,
    state: AbsenceState,
    past: Past,
    *,
    around: int,
    moment: Moment,
    silently: bool = False,
    before: Before | None = None,
) -> tuple[AbsenceState, list[Notice]]:
    """The difference between what stands and what was told, for the episodes that `around` can touch.

    Those are the ones with a missed day after the last active day before `around`. `silently`: a stop may
    move, but none is told anew. `before`: the sets before the change, where it took something away.
    """
    last_use = days.highest_below(past.active, around - past.base)
    low = 0 if last_use is None else last_use + 1
    touched = list(episodes(state.missed, past, low))
    standing = {(day, episode.start) for episode in touched for day in episode.missed}
    gone = [s for s in state.told if s.day >= past.base + low and (s.day, s.episode) not in standing]
    told = [stop for stop in state.told if stop not in gone]
    notices = [_retracted(rule, past, stop, moment) for stop in gone]
    moving = _moving(gone, before, past.base) if before is not None else frozenset()
    told_from = NEVER if silently else state.told_from
    for episode in touched:
        of_episode = [stop for stop in told if stop.episode == episode.start]
        stands, fresh = tell_episode(
            rule, past, episode, of_episode, told_from, state.told_from, moving, lambda _missed, _back: moment
        )
        told = [stop for stop in told if stop.episode != episode.start] + stands
        notices += fresh
    return AbsenceState(state.settled, state.told_from, state.missed, tuple(told)), notices


def _moving(gone: Iterable[Stop], before: Before, base: int) -> frozenset[int]:
    """The days to which a stop that is taken back may move: the missed days of the episode it was told of."""
    found: set[int] = set()
    for stop in gone:
        start = stop.episode - base
        ended = days.lowest_from(before.active, start)
        missed = before.missed >> start << start
        if ended is not None:
            missed &= days.span(start, ended)
        found.update(base + bit for bit in days.each(missed))
    return frozenset(found)


def tell_episode(
    rule: AbsenceRule,
    past: Past,
    episode: Episode,
    told: list[Stop],
    told_from: int,
    reminded_from: int,
    moving: frozenset[int],
    moment_of: MomentOf,
) -> tuple[list[Stop], list[Notice]]:
    """The stop, the reminders and the resumption of one episode, as far as they are not told; `told` are its
    stops before, and what is returned those after.
    """
    notices: list[Notice] = []
    if not told:
        raised = where_raised(rule, past, episode)
        if raised is None:
            return told, []
        day = episode.missed[raised.episode_day - 1]
        if day < told_from and day not in moving:
            return told, []
        notices.append(_stopped(rule, past, episode, raised, moment_of(day, None)))
        told = [Stop(day, episode.start, rule.emit)]
    for k in _untold_reminders(rule, episode, told, reminded_from, moving) if rule.again else ():
        day = episode.missed[k - 1]
        notices.append(_stopped(rule, past, episode, _reminder(past, episode, k), moment_of(day, None)))
        told = [*told, Stop(day, episode.start, rule.emit, told[0].resumed)]
    if episode.ended_on is not None and not told[0].resumed:
        stop = told[0]
        notices.append(_resumed(rule, past, episode, stop, moment_of(stop.day, episode.ended_on)))
        told = [Stop(stop.day, stop.episode, stop.type, True) for stop in told]
    return told, notices


def _untold_reminders(
    rule: AbsenceRule, episode: Episode, told: list[Stop], reminded_from: int, moving: frozenset[int]
) -> list[int]:
    """Which of the missed days of an episode, counted from 1, are to be told of once more."""
    told_on = {stop.day for stop in told}
    first = episode.missed.index(min(told_on)) + 1
    days_of = {k: episode.missed[k - 1] for k in rule.again if first < k <= len(episode.missed)}
    return [k for k, day in days_of.items() if day not in told_on and (day >= reminded_from or day in moving)]


def episodes(missed: int, past: Past, low: int) -> Iterator[Episode]:
    """The episodes among the missed days from bit `low` on; between two of them lies a use."""
    rest = missed >> low << low
    while rest:
        start = days.lowest(rest)
        first, later = past.base + start, past.active >> start
        # The days up to the next use are counted from the first: most silences are short, so are such sets.
        length = days.lowest(later) + 1 if later else rest.bit_length() - start
        group = rest >> start & ((1 << length) - 1)
        rest ^= group << start
        missed_on = (first,) if group == 1 else tuple([first + bit for bit in days.each(group)])
        yield Episode(missed_on, first + length - 1 if later else None)


def where_raised(rule: AbsenceRule, past: Past, episode: Episode) -> _Raised | None:
    """Where the episode's stop stands; None while the streak is too short or the silence not surprising."""
    silence = 0.0
    for k, day in enumerate(episode.missed, start=1):
        expectation = past.expectation(day)
        silence += log_of_silence(expectation.surprise)
        surprise = -expm1(silence)
        if not rule.from_history or surprise >= _enough(rule, expectation):
            streak = past.streak_before(episode.missed[0])
            if streak.length < rule.min_streak:
                return None
            return _Raised(k, surprise, expectation.reasons, streak)
    return None


def _enough(rule: AbsenceRule, expectation: Expectation) -> float:
    """How surprising a silence has to be to be told."""
    return expectation.enough if rule.min_surprise is None else rule.min_surprise


def _reminder(past: Past, episode: Episode, k: int) -> _Raised:
    """The k-th missed day of an episode whose stop was told."""
    expectations = [past.expectation(day) for day in episode.missed[:k]]
    surprise = combine([expectation.surprise for expectation in expectations])
    return _Raised(k, surprise, expectations[-1].reasons, past.streak_before(episode.start))


def _stopped(rule: AbsenceRule, past: Past, episode: Episode, raised: _Raised, moment: Moment) -> Notice:
    day = episode.missed[raised.episode_day - 1]
    cutoff = day_cutoff_us(rule, past, day)
    return Notice(
        kind="stopped",
        rule=rule.name,
        type=rule.emit,
        day=day,
        timestamp_us=cutoff,
        decided_us=moment.decided_us,
        id_day=day,
        id_episode=episode.missed[0],
        cutoff_us=cutoff,
        surprise=round(raised.surprise, 3),
        reasons=raised.reasons,
        episode_day=raised.episode_day,
        streak=raised.streak,
    )


def _retracted(rule: AbsenceRule, past: Past, stop: Stop, moment: Moment) -> Notice:
    return Notice(
        kind="retracted",
        rule=rule.name,
        type=f"{stop.type}.retracted",
        day=stop.day,
        timestamp_us=moment.decided_us,
        decided_us=moment.decided_us,
        id_day=stop.day,
        id_episode=stop.episode,
        stopped_id_day=stop.day,
        stopped_id_type=stop.type,
        cutoff_us=day_cutoff_us(rule, past, stop.day),
        streak=past.streak_before(stop.day + 1),
    )


def _resumed(rule: AbsenceRule, past: Past, episode: Episode, stop: Stop, moment: Moment) -> Notice:
    day = episode.ended_on
    assert day is not None
    occurred_us = moment.occurred_us if moment.day == day else None
    return Notice(
        kind="resumed",
        rule=rule.name,
        type=RESUMED,
        day=day,
        timestamp_us=past.opens_us(day) if occurred_us is None else occurred_us,
        decided_us=moment.decided_us,
        id_day=stop.day,
        id_episode=stop.episode,
        stopped_id_day=stop.day,
        stopped_id_type=stop.type,
        missed_days=len(episode.missed) - (episode.missed[-1] == day),
        streak=past.streak_ending(day, day),
    )
