"""Usage days by walking the UTC timeline: stretches of one offset, found by hours and then by minutes.

Nothing here is clever on purpose. An instant is an integer of microseconds since the epoch, a usage day
is `date.toordinal()`, a local time is minutes after midnight. Readings where the pages leave it open:

- A cutoff is a local time *on that usage day*, so one that is earlier on the clock than the day start
  lies on the next date, and one equal to the day start is the day's first instant.
- After a change of zone or day start, a day goes on for as long as instants map to it, so the default
  cutoff of a day that the new settings prolong is the prolonged end.
- A day is cut short at its start if its first instant is the change itself and the new settings alone
  would have begun it earlier.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE_US = 60_000_000
DAY_MINUTES = 1440
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def offset_at(zone: str, minute: int) -> int:
    """The zone's offset from UTC, in minutes, in the UTC minute `minute` (counted from the epoch)."""
    offset = (_EPOCH + timedelta(minutes=minute)).astimezone(_zone(zone)).utcoffset()
    assert offset is not None
    assert offset.seconds % 60 == 0, "the oracle walks minutes"
    return offset.days * DAY_MINUTES + offset.seconds // 60


@cache
def _stretches_of_day(zone: str, utc_day: int) -> tuple[tuple[int, int, int], ...]:
    """(first minute, minute after the last, offset) of one UTC day, by looking at every hour of it.

    Where the offset differs between two hours, every minute between them is looked at.
    """
    start = utc_day * DAY_MINUTES
    changes = [(start, offset_at(zone, start))]
    for hour in range(start, start + DAY_MINUTES, 60):
        if offset_at(zone, hour) == offset_at(zone, hour + 60):
            continue
        for minute in range(hour + 1, min(hour + 61, start + DAY_MINUTES)):
            offset = offset_at(zone, minute)
            if offset != changes[-1][1]:
                changes.append((minute, offset))
    ends = [minute for minute, _ in changes[1:]] + [start + DAY_MINUTES]
    return tuple((begin, end, offset) for (begin, offset), end in zip(changes, ends, strict=True))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where a customer lives and when its day starts, from the instant `from_us` on (None: always)."""

    zone: str
    day_starts: int
    from_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A piece of UTC with one offset and one day start."""

    begin_us: int
    end_us: int
    shift_minutes: int  # from UTC to the clock that shows 00:00 when the usage day starts
    settings: Settings


@dataclass(frozen=True)
class Timeline:
    """A customer's days under the settings it had one after the other, oldest first."""

    settings: tuple[Settings, ...]

    def after(self, change: Settings) -> "Timeline":
        """The same customer once `change` is known: nothing before `change.from_us` moves."""
        assert change.from_us is not None
        kept = tuple(s for s in self.settings if s.from_us is None or s.from_us < change.from_us)
        if (kept[-1].zone, kept[-1].day_starts) == (change.zone, change.day_starts):
            return Timeline(kept)
        return Timeline((*kept, change))

    def day_of(self, us: int) -> int:
        """The usage day that the instant belongs to."""
        return _day_of(self, us)

    def opens_us(self, day: int) -> int | None:
        """The first instant of the day; None if it has none."""
        pieces = self._pieces_of(day)
        return min(begin for begin, _ in pieces) if pieces else None

    def closes_us(self, day: int) -> int | None:
        """The first instant after the last one of the day; None if it has none."""
        pieces = self._pieces_of(day)
        return max(end for _, end in pieces) if pieces else None

    def has_length(self, day: int) -> bool:
        return bool(self._pieces_of(day))

    def cutoff_us(self, day: int, cutoff: int | None) -> int:
        """When the day is due: its end, or the first instant at which its clock shows `cutoff` or more."""
        return _cutoff_us(self, day, cutoff)

    def cut_short_at_start(self, day: int) -> bool:
        """Whether the day begins where a change of settings begins, and would have begun earlier."""
        return _cut_short_at_start(self, day)

    def _pieces_of(self, day: int) -> tuple[tuple[int, int], ...]:
        return _pieces_of(self, day)

    def stretches(self, first_utc_day: int, last_utc_day: int) -> Iterator[Stretch]:
        """Every stretch from the start of one UTC day to the end of another, in order."""
        for utc_day in range(first_utc_day, last_utc_day + 1):
            yield from _stretches(self, utc_day)


@cache
def _stretches(timeline: Timeline, utc_day: int) -> tuple[Stretch, ...]:
    found = []
    known = timeline.settings
    for i, settings in enumerate(known):
        from_us = settings.from_us
        until_us = known[i + 1].from_us if i + 1 < len(known) else None
        for begin, end, offset in _stretches_of_day(settings.zone, utc_day):
            begin_us, end_us = begin * MINUTE_US, end * MINUTE_US
            if from_us is not None:
                begin_us = max(begin_us, from_us)
            if until_us is not None:
                end_us = min(end_us, until_us)
            if begin_us < end_us:
                shift = offset - settings.day_starts
                found.append(
                    Stretch(begin_us=begin_us, end_us=end_us, shift_minutes=shift, settings=settings)
                )
    return tuple(found)


def _around(day: int) -> tuple[int, int]:
    """UTC days that surely hold all of a usage day: offsets reach 14 hours, day starts another 24."""
    utc_day = day - _EPOCH_DAY
    return utc_day - 3, utc_day + 4


def _day_of(timeline: Timeline, us: int) -> int:
    utc_day = us // (DAY_MINUTES * MINUTE_US)
    for stretch in _stretches(timeline, utc_day):
        if stretch.begin_us <= us < stretch.end_us:
            return _EPOCH_DAY + (us + stretch.shift_minutes * MINUTE_US) // (DAY_MINUTES * MINUTE_US)
    raise AssertionError("every instant lies in one stretch")


@cache
def _pieces_of(timeline: Timeline, day: int) -> tuple[tuple[int, int], ...]:
    pieces = []
    for stretch in timeline.stretches(*_around(day)):
        starts_us = ((day - _EPOCH_DAY) * DAY_MINUTES - stretch.shift_minutes) * MINUTE_US
        ends_us = starts_us + DAY_MINUTES * MINUTE_US
        begin_us, end_us = max(stretch.begin_us, starts_us), min(stretch.end_us, ends_us)
        if begin_us < end_us:
            pieces.append((begin_us, end_us))
    return tuple(pieces)


@cache
def _cutoff_us(timeline: Timeline, day: int, cutoff: int | None) -> int:
    closes_us = timeline.closes_us(day)
    if cutoff is None and closes_us is not None:
        return closes_us
    for stretch in timeline.stretches(*_around(day)):
        into_day = DAY_MINUTES if cutoff is None else (cutoff - stretch.settings.day_starts) % DAY_MINUTES
        shown = (day - _EPOCH_DAY) * DAY_MINUTES + into_day
        reached_us = max(stretch.begin_us, (shown - stretch.shift_minutes) * MINUTE_US)
        if reached_us < stretch.end_us:
            return reached_us
    raise AssertionError("every local time comes")


@cache
def _cut_short_at_start(timeline: Timeline, day: int) -> bool:
    opens_us = timeline.opens_us(day)
    for settings in timeline.settings[1:]:
        if opens_us == settings.from_us:
            alone = Timeline((Settings(zone=settings.zone, day_starts=settings.day_starts),))
            alone_us = alone.opens_us(day)
            return alone_us is not None and opens_us is not None and alone_us < opens_us
    return False
