"""Tells a day on which many like customers stop at once, whose calls wait for the days after it."""

from collections.abc import Collection
from typing import Final

STOPPED_SHARE: Final = 0.05
"""About 1 % of a product's customers stop on an ordinary day; one in twenty is a holiday or a storm."""

STOPPED_COUNT_MIN: Final = 5
"""Fewer can meet by chance on one day in a small product."""

ORDINARY_DAYS: Final = 2
"""How many days without a common cause show whether a held customer has come back with the others."""

_HELD_DAYS_MAX: Final = 14
"""A call is late after that, whatever its peers do."""


def common_cause(*, stopped_count: int, watched_count: int) -> bool:
    """Whether the stops of one usage day are too many to be each its own customer's affair.

    `watched_count`: the customers of one product who could have stopped on that day, active ones included.
    """
    return stopped_count >= max(STOPPED_COUNT_MIN, STOPPED_SHARE * watched_count)


def release_day(stopped_day: int, common_days: Collection[int]) -> int:
    """The day after whose settling a stop is called, if it still stands; the day itself where it is not held.

    A common cause that lasts over several days, as year-end does, holds all its stops until it is over.
    """
    day, ordinary = stopped_day, 0
    if stopped_day not in common_days:
        return stopped_day
    while ordinary < ORDINARY_DAYS and day < stopped_day + _HELD_DAYS_MAX:
        day += 1
        ordinary = 0 if day in common_days else ordinary + 1
    return day
