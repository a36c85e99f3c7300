"""What a rule has to say, before it is put into a trigger's words."""

from typing import Literal

import msgspec

from services.evaluator.core.past import NO_STREAK, Streak
from shared.triggers import Reason

Kind = Literal["reached", "missed", "declined", "stopped", "retracted", "resumed"]


class Moment(msgspec.Struct, frozen=True):
    """When, and by which record, something is decided.

    `decided_us` is the tick's time or the record's append time. Where a use decides, `day` is its
    usage day and `occurred_us` its instant (None: the day alone is known).
    """

    decided_us: int
    day: int | None = None
    occurred_us: int | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One fact decided for one customer and rule; `episode` is 0 where there is none."""

    kind: Kind
    rule: str
    type: str
    day: int
    timestamp_us: int
    decided_us: int
    id_day: int = 0  # what goes into the id, see decision record 0002; 0: empty
    id_episode: int = 0
    stopped_id_day: int = 0  # the stop that a retraction or a resumption speaks of
    stopped_id_type: str = ""
    cutoff_us: int | None = None
    surprise: float | None = None
    reasons: tuple[Reason, ...] = ()
    episode_day: int | None = None
    missed_days: int | None = None
    count: int | None = None
    streak: Streak = NO_STREAK
