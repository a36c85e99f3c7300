"""What other settings of a rule would have done: false calls, and how soon true stops are called. Pure.

A history is replayed once for each cutoff. What `min_streak` and `min_surprise` make of it follows from how
surprising its silences became day by day, so that a whole grid of settings costs no more than its cutoffs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from services.evaluator.core import days
from services.evaluator.core.expectation import combine
from services.evaluator.core.past import NONE_EXCUSED, Past, past_of
from services.evaluator.core.rules import AbsenceRule, Product
from services.evaluator.core.state import AbsenceState
from services.evaluator.replay import Uses, judge_customer
from shared.events import Profile

CUTS_MAX: Final = 5
CERTAIN: Final = 0.9999
_YEAR_DAYS: Final = 365.25

Draw = Callable[[Sequence[int], int], Sequence[int]]
"""Draws so many of a sequence, by lot, none twice."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What of a rule is tried: minutes after midnight or None for the day's end; None: each customer's own.

    `min_surprise` 0: every missed day, as `expect: calendar` has it.
    """

    cutoff: int | None
    min_streak: int
    min_surprise: float | None


class Silence(msgspec.Struct, frozen=True):
    """Missed days without use between: how surprising they had become, and were enough, after each.

    `days` are their ordinals; `has_ended`: the customer came back.
    """

    days: tuple[int, ...]
    surprise: tuple[float, ...]
    enough: tuple[float, ...]
    streak_length: int
    has_ended: bool

    def stopped_at(self, setting: Setting) -> int | None:
        """Which of the days the stop is raised on; None: it is not."""
        if self.streak_length < setting.min_streak:
            return None
        for at, (surprise, enough) in enumerate(zip(self.surprise, self.enough, strict=True)):
            if surprise >= (enough if setting.min_surprise is None else setting.min_surprise):
                return at
        return None


class Cut(msgspec.Struct, frozen=True):
    """A true stop, made by cutting a history off before a day of use.

    What is silent then, and the ordinals of the day cut off and of the next day of use that never came.
    """

    silence: Silence
    first_on: int
    second_on: int


class Lives(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying all customers under one cutoff shows."""

    years: float
    silences: tuple[Silence, ...]
    cuts: tuple[tuple[Cut, ...], ...]


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What a setting does: stops and false ones a customer and year; shares of true stops called in time."""

    setting: Setting
    stops: float
    false_stops: float
    first_day: float
    second_day: float


def own_setting(rule: AbsenceRule) -> Setting:
    """The setting that the rule has now."""
    return Setting(
        cutoff=rule.cutoff,
        min_streak=rule.min_streak,
        min_surprise=rule.min_surprise if rule.from_history else 0.0,
    )


def live(
    uses: Mapping[str, Uses],
    profiles: Mapping[str, Profile],
    product: Product,
    rule: AbsenceRule,
    *,
    cutoff: int | None,
    first_on: int,
    last_on: int,
    draw: Draw,
) -> Lives:
    """Replays every customer with this cutoff, and cuts a few days of each off.

    What lies before `first_on` is learned from; no silence that began then is looked at.
    """
    # Raises nothing: only which days were missed is asked of the core.
    silent = msgspec.structs.replace(rule, cutoff=cutoff, min_streak=3660, from_history=False, again=())
    alone = msgspec.structs.replace(product, rules=(silent,))
    span_days, silences, cuts = 0, list[Silence](), list[tuple[Cut, ...]]()
    for customer_id, of_customer in uses.items():
        profile = profiles.get(customer_id, Profile())
        state = judge_customer(profile, of_customer, product=alone, last_on=last_on)
        kept = state.rules.get(rule.name)
        if not isinstance(kept, AbsenceState):
            continue  # never used under this rule
        past = past_of(state, rule.filter, NONE_EXCUSED)
        span_days += max(0, last_on - max(first_on, past.base + days.lowest(past.active)) + 1)
        silences += (one for one in _silences(past, kept.missed) if one.days[0] >= first_on)
        cuts.append(tuple(_cuts(past, draw)))
    return Lives(years=span_days / _YEAR_DAYS, silences=tuple(silences), cuts=tuple(cuts))


def measure(lives: Lives, setting: Setting) -> Swept:
    """Every customer weighs the same in the shares of true stops, however long it was there."""
    raised = [one for one in lives.silences if one.stopped_at(setting) is not None]
    with_cuts = [cuts for cuts in lives.cuts if cuts]
    years = lives.years or 1.0
    return Swept(
        setting=setting,
        stops=len(raised) / years,
        false_stops=sum(one.has_ended for one in raised) / years,
        first_day=_share(with_cuts, setting, lambda cut: cut.first_on),
        second_day=_share(with_cuts, setting, lambda cut: cut.second_on),
    )


def _share(with_cuts: Sequence[tuple[Cut, ...]], setting: Setting, until_on: Callable[[Cut], int]) -> float:
    def is_called(cut: Cut) -> bool:
        at = cut.silence.stopped_at(setting)
        return at is not None and cut.silence.days[at] <= until_on(cut)

    if not with_cuts:
        return 0.0
    return sum(sum(map(is_called, cuts)) / len(cuts) for cuts in with_cuts) / len(with_cuts)


def _silences(past: Past, missed: int) -> Iterator[Silence]:
    """The episodes: between two of them lies a use, which under an early cutoff may be on the missed day."""
    while missed:
        start = days.lowest(missed)
        ended = days.lowest_from(past.active, start)
        group = missed if ended is None else missed & days.span(start, ended)
        missed ^= group
        yield _silence(past, [past.base + bit for bit in days.each(group)], ended is not None)


def _cuts(past: Past, draw: Draw) -> Iterator[Cut]:
    """True stops: before a drawn day of use, with one before and one after it, the history ends."""
    used = [past.base + bit for bit in days.each(past.active)]
    inner = range(1, len(used) - 1)
    for index in draw(inner, min(CUTS_MAX, len(inner))):
        first_on, second_on = used[index], used[index + 1]
        kept = past.active & ((1 << (first_on - past.base)) - 1)
        before = Past(past.base, kept, past.segments, past.cut_short, past.excused)
        missed = [day for day in range(used[index - 1] + 1, second_on + 1) if before.is_expected(day)]
        if missed:
            yield Cut(_silence(before, missed, False), first_on, second_on)


def _silence(past: Past, missed: Iterable[int], has_ended: bool) -> Silence:
    told: list[int] = []
    parts: list[float] = []
    surprise: list[float] = []
    enough: list[float] = []
    for day in missed:
        expectation = past.expectation(day)
        told.append(day)
        parts.append(expectation.surprise)
        surprise.append(combine(parts))
        enough.append(expectation.enough)
        if surprise[-1] >= CERTAIN:
            break  # no setting asks for more
    return Silence(tuple(told), tuple(surprise), tuple(enough), past.streak_before(told[0]).length, has_ended)
