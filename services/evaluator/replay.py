"""Replays one customer's history as if live: each day settled at its own deadline, each use in its time."""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from services.evaluator import engine
from services.evaluator.calendar import MINUTE_US, closes_us, cutoff_us, day_of, opens_us
from services.evaluator.notice import Notice
from services.evaluator.rules import Product, Settings, StreakRule
from services.evaluator.state import CustomerState
from shared.events import Profile
from shared.triggers import Trigger

_AFTER_CLOSE_US = 60 * MINUTE_US
_NONE_EXCUSED: frozenset[int] = frozenset()


class DatedUse(msgspec.Struct, frozen=True):
    """One use: its instant, or None and the usage day that alone is known."""

    occurred_us: int | None
    day: int = 0
    event: str = "used"


class Replayed(msgspec.Struct, frozen=True):
    """The state a replay ended in, and the triggers in order."""

    state: CustomerState
    triggers: tuple[Trigger, ...]


class _Read(msgspec.Struct, frozen=True):
    """A use in its place: when it is read, on which usage day, and whether its instant is known."""

    at_us: int
    day: int
    occurred_us: int | None
    event: str


def replay_customer(
    customer_id: str, profile: Profile, uses: Iterable[DatedUse], *, product: Product, last_on: int
) -> Replayed:
    """Feeds uses through the core in the order of time; `last_on` is judged to its very end.

    A use known by its day alone is taken to occur when that day opens. A day is settled exactly at its
    deadline, after every use that occurred before it. What lies after `last_on` is left out.
    """
    state = engine.fresh(profile, product, known_us=0)
    settings = state.segments[0].settings
    reads = _in_order(uses, settings, last_on)
    windows = _windows(product)
    notices: list[Notice] = []
    at = 0
    while at < len(reads):
        read = reads[at]
        state, settled = engine.judge(state, product, read.at_us + 1, None, _NONE_EXCUSED)
        notices += settled
        until = _run_end(reads, at, settings, windows)
        last = reads[until - 1].day
        run = engine.observe_run(state, read.day, last, read.event, product=product) if until > at else None
        if run is not None:
            state, at = run, until
            continue
        use = engine.Use(read.day, read.occurred_us, settings)
        state, observed = engine.observe(state, use, read.event, product=product, decided_us=read.at_us)
        notices += observed
        at += 1
    end_us = _end_us(settings, windows, last_on)
    state, settled = engine.settle_days(state, product, end_us, None, _NONE_EXCUSED)
    notices += [notice for notice in settled if notice.day <= last_on]
    notices.sort(key=_decided_us)  # rules are settled one after another; the reader wants the order of time
    return Replayed(state, engine.worded(state, product, customer_id, notices))


def _in_order(uses: Iterable[DatedUse], settings: Settings, last_on: int) -> list[_Read]:
    zone, day_starts = settings.zone, settings.day_starts
    reads = [
        _Read(opens_us(zone, day_starts, use.day), use.day, None, use.event)
        if use.occurred_us is None
        else _Read(use.occurred_us, day_of(zone, day_starts, use.occurred_us), use.occurred_us, use.event)
        for use in uses
    ]
    reads.sort(key=_at_us)
    return [read for read in reads if read.day <= last_on]


def _at_us(read: _Read) -> int:
    return read.at_us


def _decided_us(notice: Notice) -> int:
    return notice.decided_us


def _run_end(
    reads: list[_Read], at: int, settings: Settings, windows: tuple[tuple[int | None, int], ...]
) -> int:
    """The end of the run of reads from `at` on that no deadline interrupts: day after day, each in time."""
    day, event = reads[at].day, reads[at].event
    zone, day_starts = settings.zone, settings.day_starts
    until = at
    for until in range(at, len(reads)):
        read = reads[until]
        if not day <= read.day <= day + 1 or read.event != event:
            return until
        day = read.day
        if read.at_us >= _earliest_deadline_us(zone, day_starts, day, windows):
            return until
    return until + 1


def _windows(product: Product) -> tuple[tuple[int | None, int], ...]:
    """Cutoff and grace of each rule that waits for use."""
    return tuple((rule.cutoff, rule.grace_us) for rule in product.rules if not isinstance(rule, StreakRule))


@lru_cache(65_536)
def _earliest_deadline_us(
    zone: str, day_starts: int, day: int, windows: tuple[tuple[int | None, int], ...]
) -> int:
    deadlines = (cutoff_us(zone, day_starts, day, cutoff) + grace_us for cutoff, grace_us in windows)
    return min(deadlines, default=closes_us(zone, day_starts, day))


def _end_us(settings: Settings, windows: tuple[tuple[int | None, int], ...], last_on: int) -> int:
    """Just after the last deadline of the last day."""
    zone, day_starts = settings.zone, settings.day_starts
    deadlines = [cutoff_us(zone, day_starts, last_on, cutoff) + grace_us for cutoff, grace_us in windows]
    return max([closes_us(zone, day_starts, last_on) + _AFTER_CLOSE_US, *deadlines]) + 1
