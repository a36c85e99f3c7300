"""Tries every habit, coarse bins first, and says how strong the best of as many would be by chance. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from services.commands.discovery.counting import Group, Shuffle, bits, count_of
from services.commands.discovery.habits import (
    EVERY_EVENT,
    WINDOWS_DAYS,
    Counting,
    Habit,
)
from services.commands.discovery.odds import Split, deviation, score
from shared.config_rules import COUNT_MAX

EVENTS_MAX: Final = 50
"""So many event names are tried, those that most customers use."""

SIDE_MIN: Final = 20
"""Fewer customers on either side of a threshold say nothing, however clearly they say it."""

BINS: Final = 10
REFINED_MAX: Final = 60

Kind = tuple[str, Counting]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A habit, who has it in the half that is searched, and its score there."""

    habit: Habit
    exposed: int
    split: Split
    score: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One count over one window: the values of all in the group's order, -1 without the whole window."""

    event: str
    counting: Counting
    within_days: int
    values: tuple[int, ...]

    def habit(self, at_least: int) -> Habit:
        return Habit(
            event=self.event, counting=self.counting, within_days=self.within_days, at_least=at_least
        )


def events_of(group: Group) -> list[str]:
    """`*` and the names that most customers use; a product's only name is `*` already."""
    users: Counter[str] = Counter()
    for member in group.members:
        users.update(event for event, days in member.early.items() if days and event != EVERY_EVENT)
    named = sorted(users, key=lambda event: (-users[event], event))[:EVENTS_MAX]
    return [EVERY_EVENT, *named] if len(users) > 1 else [EVERY_EVENT]


def metrics(group: Group, event: str, counting: Counting) -> Iterator[Metric]:
    """One count over each of the windows."""
    for window in WINDOWS_DAYS:
        values = tuple(
            count_of(member, event, counting, window) if member.reach >= window else -1
            for member in group.members
        )
        yield Metric(event=event, counting=counting, within_days=window, values=values)


def coarse(metric: Metric) -> list[int]:
    """Thresholds that cut the customers into about equal parts, and 1: did it at all."""
    known = sorted(value for value in metric.values if value >= 0)
    if not known:
        return []
    cuts = {known[len(known) * part // BINS] for part in range(1, BINS)} | {1}
    return sorted(cut for cut in cuts if 1 <= cut <= COUNT_MAX)


def tried(group: Group, metric: Metric, at_least: int) -> Candidate | None:
    """The candidate, None where one side of its threshold has too few customers."""
    exposed = bits(value >= at_least for value in metric.values)
    whole_count = sum(value >= 0 for value in metric.values)
    with_count = exposed.bit_count()
    if min(with_count, whole_count - with_count) < SIDE_MIN:
        return None
    stayed_count = sum(
        member.stayed for member, value in zip(group.members, metric.values, strict=True) if value >= 0
    )
    with_stayed = (exposed & group.stayed).bit_count()
    split = Split(
        with_count=with_count,
        with_stayed=with_stayed,
        without_count=whole_count - with_count,
        without_stayed=stayed_count - with_stayed,
    )
    return Candidate(habit=metric.habit(at_least), exposed=exposed, split=split, score=score(split))


def best_by_chance(
    group: Group, candidates: Sequence[Candidate], shuffle: Shuffle, rounds: int
) -> Iterator[float]:
    """For each round the strongest score among all candidates, outcomes being drawn by lot.

    Nested thresholds and windows say nearly the same; a correction that counts them as so many tries
    would be far too hard on them. What the best of them all reaches by chance is exactly what is asked.
    """
    distinct = {(c.exposed, c.split.count): c.split for c in candidates}
    scaled = [
        (
            exposed,
            split.with_count * split.stayed_count / split.count,
            deviation(count=split.count, stayed_count=split.stayed_count, with_count=split.with_count),
        )
        for (exposed, _), split in distinct.items()
    ]
    scaled = [one for one in scaled if one[2]]
    for _ in range(rounds):
        stayed = group.shuffled(shuffle)
        yield max(
            (abs((exposed & stayed).bit_count() - mean) / spread for exposed, mean, spread in scaled),
            default=0.0,
        )


def chance_of(strength: float, by_chance: Sequence[float]) -> float:
    """How often chance alone brings forth a best candidate as strong; `by_chance` is in rising order.

    What was seen counts as one draw, so that it is never 0.
    """
    stronger = len(by_chance) - bisect_left(by_chance, strength * (1 - 1e-12))
    return (1 + stronger) / (1 + len(by_chance))


def refined(group: Group, metric: Metric, found: Candidate) -> Candidate:
    """The best threshold between the neighbours of the coarse one that was found."""
    cuts = coarse(metric)
    at = cuts.index(found.habit.at_least)
    low = cuts[at - 1] if at else 0
    high = cuts[at + 1] if at + 1 < len(cuts) else COUNT_MAX
    between = sorted({value for value in metric.values if low < value < high})
    step = -(-len(between) // REFINED_MAX) or 1
    finer = (tried(group, metric, at_least) for at_least in between[::step])
    return max((found, *(one for one in finer if one)), key=lambda one: abs(one.score))
