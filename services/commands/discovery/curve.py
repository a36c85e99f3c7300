"""How use went on, week by week, with a habit and without it; and how many stayed by how often. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from services.commands.discovery.cohort import Member
from services.commands.discovery.counting import count_of
from services.commands.discovery.habits import Habit
from services.commands.discovery.search import SIDE_MIN

WEEKS_MAX: Final = 26
_WEEK: Final = 7
_BARS_MAX: Final = 10


class Week(msgspec.Struct, frozen=True):
    """The share of each side that was active in the week; of customers whose week lies in the data."""

    number: int
    with_habit: float
    without_habit: float


class Bar(msgspec.Struct, frozen=True):
    """Customers whose count is `low` to `high`, and the share of them that stayed."""

    low: int
    high: int
    customer_count: int
    stayed_share: float


def weeks(members: Iterable[Member], habit: Habit, last_on: int) -> list[Week]:
    """From the first week on, until either side has too few customers to go by."""
    whole = [member for member in members if member.reach >= habit.within_days]
    sides = ([m for m in whole if _has(m, habit)], [m for m in whole if not _has(m, habit)])
    found = []
    for week in range(WEEKS_MAX):
        known = [[m for m in side if m.began_on + _WEEK * (week + 1) - 1 <= last_on] for side in sides]
        if min(map(len, known)) < SIDE_MIN:
            break
        found.append(Week(week + 1, *(_active_share(side, week) for side in known)))
    return found


def bars(members: Iterable[Member], habit: Habit) -> list[Bar]:
    """Up to ten groups of about the same size; a boundary lies where the habit begins."""
    ended = sorted(
        (count_of(m, habit.event, habit.counting, habit.within_days), m.stayed)
        for m in members
        if m.reach >= habit.within_days
    )
    below = [one for one in ended if one[0] < habit.at_least]
    reached = [one for one in ended if one[0] >= habit.at_least]
    return [_bar(part) for side in (below, reached) for part in _parts(side, len(ended))]


def _parts(side: Sequence[tuple[int, bool]], whole_count: int) -> list[Sequence[tuple[int, bool]]]:
    """Equal counts stay together, so that no two groups overlap."""
    size = max(1, whole_count // _BARS_MAX)
    parts: list[Sequence[tuple[int, bool]]] = []
    start = 0
    while start < len(side):
        end = min(start + size, len(side))
        while end < len(side) and side[end][0] == side[end - 1][0]:
            end += 1
        if len(side) - end < size // 2:
            end = len(side)
        parts.append(side[start:end])
        start = end
    return parts


def _bar(part: Sequence[tuple[int, bool]]) -> Bar:
    return Bar(part[0][0], part[-1][0], len(part), sum(stayed for _, stayed in part) / len(part))


def _has(member: Member, habit: Habit) -> bool:
    return count_of(member, habit.event, habit.counting, habit.within_days) >= habit.at_least


def _active_share(side: Sequence[Member], week: int) -> float:
    days = range(_WEEK * week, _WEEK * (week + 1))
    return sum(any(day in member.active for day in days) for member in side) / len(side)
