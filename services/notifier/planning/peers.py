"""Tells a day on which many like customers stop at once, whose calls wait for the days after it. Pure."""

import math
from collections.abc import Collection
from typing import Final

STOPPED_SHARE: Final = 0.05
"""About 1 % of a product's customers stop on an ordinary day; one in twenty is a holiday or a storm."""

STOPPED_COUNT_MIN: Final = 5
"""Fewer can meet by chance on one day in a small product."""

ORDINARY_DAYS: Final = 2
"""How many days without a common cause show whether a held customer has come back with the others."""

HELD_DAYS_MAX: Final = 14
"""A call is late after that, whatever its peers do."""


def needed(watched_count: int, share: float = STOPPED_SHARE, min_customers: int = STOPPED_COUNT_MIN) -> int:
    """So many stops of `watched_count` like customers are too many to be each its own customer's affair."""
    return max(min_customers, math.ceil(share * watched_count))


def common_cause(*, stopped_count: int, watched_count: int) -> bool:
    """Whether the stops of one usage day have a common cause, by the measure that a product begins with.

    `watched_count`: the customers of one product who could have stopped on that day, active ones included.
    """
    return stopped_count >= needed(watched_count)


def release_day(stopped_day: int, common_days: Collection[int]) -> int:
    """The day after whose settling a stop is called, if it still stands; the day itself where it is not held.

    A common cause that lasts over several days, as year-end does, holds all its stops until it is over. Days
    of which nothing is known yet count as ordinary, so this is the earliest day that it can be.
    """
    day, ordinary = stopped_day, 0
    if stopped_day not in common_days:
        return stopped_day
    while ordinary < ORDINARY_DAYS and day < stopped_day + HELD_DAYS_MAX:
        day += 1
        ordinary = 0 if day in common_days else ordinary + 1
    return day
