"""What was found: searched on one half of the customers, held against the other. Pure.

The half that is searched chooses habits, and flatters them. So it says only whether a habit is more than
chance; how much it splits, and whether it does at all, is read from customers that had no say in it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from services.commands.discovery.cohort import Cohort, is_held_out
from services.commands.discovery.counting import Group, group
from services.commands.discovery.habits import EVERY_EVENT, Counting, Habit
from services.commands.discovery.odds import Split, fisher, holm
from services.commands.discovery.search import (
    SIDE_MIN,
    Candidate,
    Metric,
    chance_of,
    coarse,
    events_of,
    metrics,
    refined,
    tried,
)

BELIEVED_MAX: Final = 0.05
"""What happens by chance more often than this is taken for chance."""

COUNTINGS: Final[tuple[Counting, ...]] = ("active_days", "events")

Verdict = Literal["recommended", "not confirmed", "may be chance", "too few"]


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The two halves, and what was tried on the searched one: for each kind of count its candidates."""

    searched: Group
    held_out: Group
    tried: tuple[tuple[tuple[Metric, Candidate], ...], ...]
    too_few: tuple[Habit, ...]

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for of_kind in self.tried for _, candidate in of_kind]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A habit and how the held-out customers with it, and without it, ended.

    `chance`: how often the best of everything tried looks as strong where nothing is to be found.
    `held_out_chance`: of the held-out split, corrected for how many were held against it.
    """

    habit: Habit
    split: Split
    strength: float
    chance: float
    held_out_chance: float | None
    verdict: Verdict


def look(cohort: Cohort, seed: int) -> Search:
    """Every candidate, tried on one half."""
    searched = group(one for one in cohort.members if not is_held_out(one.customer_id, seed))
    found, too_few = [], []
    seen: set[tuple[tuple[int, ...], ...]] = set()
    for event in events_of(searched):
        for counting in COUNTINGS:
            of_kind = tuple(metrics(searched, event, counting))
            values = tuple(metric.values for metric in of_kind)
            if values in seen:
                continue  # one event a day, or one name that every active day has: the same count again
            seen.add(values)
            candidates = tuple(_candidates(searched, of_kind))
            if candidates:
                found.append(candidates)
            elif counting == "active_days":
                too_few.append(of_kind[-1].habit(1))
    return Search(
        searched=searched,
        held_out=group(one for one in cohort.members if is_held_out(one.customer_id, seed)),
        tried=tuple(found),
        too_few=tuple(too_few),
    )


def conclude(search: Search, by_chance: Sequence[float]) -> list[Finding]:
    """The best of each kind, the strongest believed ones first; `by_chance` as `best_by_chance` gives it."""
    ranked = sorted(by_chance)
    found = []
    for of_kind in search.tried:
        best = max((candidate for _, candidate in of_kind), key=_strength)
        chance = chance_of(_strength(best), ranked)
        chosen = _refined(search.searched, of_kind) if chance <= BELIEVED_MAX else best
        found.append(_held_against(search.held_out, chosen, chance))
    return sorted(_judged(found), key=_rank) + [_too_few(search, habit) for habit in search.too_few]


def _candidates(searched: Group, of_kind: Iterable[Metric]) -> Iterable[tuple[Metric, Candidate]]:
    for metric in of_kind:
        for at_least in coarse(metric):
            candidate = tried(searched, metric, at_least)
            if candidate is not None:
                yield metric, candidate


def _refined(searched: Group, of_kind: Sequence[tuple[Metric, Candidate]]) -> Candidate:
    """The best threshold near the best coarse one of each window: a coarse one may lie badly in its own."""
    best: dict[int, tuple[Metric, Candidate]] = {}
    for metric, candidate in of_kind:
        known = best.get(metric.within_days)
        if known is None or _strength(candidate) > _strength(known[1]):
            best[metric.within_days] = metric, candidate
    return max((refined(searched, *of_window) for of_window in best.values()), key=_strength)


def _strength(candidate: Candidate) -> float:
    return abs(candidate.score)


def _held_against(held_out: Group, chosen: Candidate, chance: float) -> Finding:
    return Finding(
        habit=chosen.habit,
        split=held_out.split(chosen.habit),
        strength=chosen.score,
        chance=chance,
        held_out_chance=None,
        verdict="may be chance",
    )


def _judged(found: Sequence[Finding]) -> list[Finding]:
    """The verdicts on those that are more than chance, by the customers held out."""
    to_confirm = [one for one in found if one.chance <= BELIEVED_MAX]
    corrected = holm([fisher(one.split) for one in to_confirm])
    judged = [
        msgspec.structs.replace(one, held_out_chance=chance, verdict=_verdict(one, chance))
        for one, chance in zip(to_confirm, corrected, strict=True)
    ]
    return judged + [one for one in found if one.chance > BELIEVED_MAX]


def _verdict(found: Finding, held_out_chance: float) -> Verdict:
    if min(found.split.with_count, found.split.without_count) < SIDE_MIN:
        return "too few"
    same_way = found.split.difference * found.strength > 0
    return "recommended" if same_way and held_out_chance <= BELIEVED_MAX else "not confirmed"


def _too_few(search: Search, habit: Habit) -> Finding:
    return Finding(
        habit=habit,
        split=search.held_out.split(habit),
        strength=0.0,
        chance=1.0,
        held_out_chance=None,
        verdict="too few",
    )


def _rank(found: Finding) -> tuple[bool, float, float, bool]:
    """Of two that split alike, the one that names its event says more."""
    is_any = found.habit.event == EVERY_EVENT
    return found.verdict != "recommended", found.chance, -round(abs(found.strength), 9), is_any
