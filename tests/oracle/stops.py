"""Episodes and the stops that stand, read anew from the sets of active and missed days each time.

Readings where the pages leave it open:

- Episodes are gone through in their order; of each its stops, then its resumption are told.
- A reminder is told if its own day may be told, even where the stop before it was not; the resumption
  names the earliest told stop of its episode.
- A new stop *moves* if its day was a missed day of an episode of which a told stop is retracted at the
  same moment.
- A backfilled event that counts as a late one tells retractions and moved stops; what else stands is
  told after the next change that is not backfill.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from shared.config import AbsenceRuleSection
from shared.triggers import Reason


@dataclass(frozen=True, kw_only=True)
class Episode:
    """`missed` from its first day on, before the next episode; `ended_on` is the first use since."""

    missed: tuple[int, ...]
    ended_on: int | None

    @property
    def start(self) -> int:
        return self.missed[0]

    @property
    def missed_before_use(self) -> int:
        return sum(1 for day in self.missed if self.ended_on is None or day < self.ended_on)


def episodes(active: Collection[int], missed: Collection[int]) -> list[Episode]:
    """The missed days cut where the customer was active in between."""
    groups: list[list[int]] = []
    for day in sorted(missed):
        previous = groups[-1][-1] if groups else None
        if previous is None or any(previous <= a < day for a in active):
            groups.append([day])
        else:
            groups[-1].append(day)
    return [
        Episode(missed=tuple(group), ended_on=min((a for a in active if a >= group[0]), default=None))
        for group in groups
    ]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A stop or a reminder: the `episode_day`-th missed day of the episode that starts on `episode`."""

    day: int
    episode: int
    episode_day: int
    surprise: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(kw_only=True)
class Book:
    """What is kept of one customer for one absence rule without an anchor."""

    name: str
    rule: AbsenceRuleSection
    active: set[int]
    missed: set[int] = field(default_factory=set)
    next_day: int | None = None
    told_from: int = 0
    told: list[Stop] = field(default_factory=list)
    resumed: set[int] = field(default_factory=set)

    def episodes(self) -> list[Episode]:
        return episodes(self.active, self.missed)

    def told_of(self, episode: int) -> list[Stop]:
        return sorted((s for s in self.told if s.episode == episode), key=lambda s: s.day)


@dataclass(frozen=True, kw_only=True)
class Retraction:
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Stopped:
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Resumed:
    episode: Episode
    stop: Stop


Change = Retraction | Stopped | Resumed


def difference(
    book: Book, standing: dict[int, list[Stop]], *, before: list[Episode], backfilled: bool
) -> Iterator[Change]:
    """What is to be told now that `standing` (by episode start) stands; marks it as told.

    `before` are the episodes before the change, to see which stops move.
    """
    retracted = set()
    for stop in sorted(book.told, key=lambda s: s.day):
        if any(e.start == stop.episode and stop.day in e.missed for e in book.episodes()):
            continue
        yield Retraction(stop=stop)
        book.told.remove(stop)
        retracted.add(stop.episode)
    moving = {day for e in before if e.start in retracted for day in e.missed}
    for episode in book.episodes():
        for stop in standing[episode.start]:
            if any((s.day, s.episode) == (stop.day, stop.episode) for s in book.told):
                continue
            if stop.day in moving or (stop.day >= book.told_from and not backfilled):
                book.told.append(stop)
                yield Stopped(stop=stop)
        told = book.told_of(episode.start)
        ended = episode.ended_on is not None and episode.start not in book.resumed
        if told and ended and not backfilled:
            book.resumed.add(episode.start)
            yield Resumed(episode=episode, stop=told[0])
