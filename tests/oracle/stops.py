"""Episodes and the stops that stand, read anew from the sets of active and missed days each time.

Readings where the pages leave it open:

- A change touches the episodes that have a missed day after the last use before it; older ones are
  closed and are not looked at again.
- Episodes are gone through in their order; of each its stop, its reminders, then its resumption.
- Reminders follow a stop that was told, of days from the rule's first day to tell on; a silence whose stop
  was not told is not reminded of. A resumption names the earliest told stop of its episode.
- The end of an episode of which every told stop was retracted is told again if a stop of it is.
- A new stop *moves* if its day was a missed day of an episode of which a told stop is retracted at the
  same moment.
- A backfilled event that counts as a late one tells retractions, moved stops and the resumptions of
  told episodes; what else stands is told with the next change that touches it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field


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
    """A stop or a reminder: told, as a trigger of `type`, of a missed day of the episode that starts then."""

    day: int
    episode: int
    type: str


@dataclass(frozen=True, kw_only=True)
class Retraction:
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Stopped:
    stop: Stop
    episode: Episode


@dataclass(frozen=True, kw_only=True)
class Resumed:
    stop: Stop
    episode: Episode


Change = Retraction | Stopped | Resumed


@dataclass(kw_only=True)
class Told:
    """What was told and not taken back, and the episodes whose end was told."""

    stops: list[Stop] = field(default_factory=list)
    resumed: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)

    def of(self, episode: Episode) -> list[Stop]:
        """The told stops of an episode, the earliest first."""
        return sorted((s for s in self.stops if s.episode == episode.start), key=lambda s: s.day)

    def retract(self, episodes_now: list[Episode]) -> Iterator[Retraction]:
        """Takes back what no longer stands: its day is not missed, or its episode begins elsewhere."""
        for stop in sorted(self.stops, key=lambda s: s.day):
            if not any(stop.episode == e.start and stop.day in e.missed for e in episodes_now):
                self.stops.remove(stop)
                yield Retraction(stop=stop)
        self.resumed &= {stop.episode for stop in self.stops} | self.forgotten

    def forget(self, active: Collection[int], *, before: int) -> None:
        """Lets go, once and for all, of the stops whose end was told and lies before the day `before`."""
        ended = [s for s in self.stops if s.episode in self.resumed]
        old = [s for s in ended if any(s.day <= day < before for day in active)]
        self.forgotten |= {s.episode for s in old}
        self.stops = [s for s in self.stops if s not in old]

    def tell(
        self,
        episode: Episode,
        *,
        type: str,
        stop_on: int | None,
        again: Collection[int],
        may_tell: Callable[[int], bool],
        may_remind: Callable[[int], bool],
    ) -> Iterator[Stopped | Resumed]:
        """Tells of one episode what was not told; `stop_on` is the day on which its stop stands."""
        if episode.start in self.forgotten:
            return
        if not self.of(episode) and stop_on is not None and may_tell(stop_on):
            yield self._stopped(Stop(day=stop_on, episode=episode.start, type=type), episode)
        if not self.of(episode):
            return
        first = episode.missed.index(self.of(episode)[0].day) + 1
        for k, day in enumerate(episode.missed, 1):
            if k in again and k > first and may_remind(day) and all(s.day != day for s in self.of(episode)):
                yield self._stopped(Stop(day=day, episode=episode.start, type=type), episode)
        if episode.ended_on is not None and episode.start not in self.resumed:
            self.resumed.add(episode.start)
            yield Resumed(stop=self.of(episode)[0], episode=episode)

    def _stopped(self, stop: Stop, episode: Episode) -> Stopped:
        self.stops.append(stop)
        return Stopped(stop=stop, episode=episode)
