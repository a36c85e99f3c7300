"""Members and their early counts as sets of bits, so that a habit is tried in one fast step. Pure."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from services.commands.discovery.cohort import Member
from services.commands.discovery.habits import Counting, Habit
from services.commands.discovery.odds import Split

Shuffle = Callable[[list[str]], None]
"""Puts a list into a random order, in place."""


class Group(msgspec.Struct, frozen=True):
    """Members in the order of their bits, by reach, and which of them stayed."""

    members: tuple[Member, ...]
    stayed: int

    def exposed(self, habit: Habit) -> int:
        """Who has the habit, among those with its whole window."""
        return bits(
            member.reach >= habit.within_days
            and count_of(member, habit.event, habit.counting, habit.within_days) >= habit.at_least
            for member in self.members
        )

    def whole(self, window: int) -> int:
        """Who has the whole window."""
        return bits(member.reach >= window for member in self.members)

    def split(self, habit: Habit) -> Split:
        """How those with the habit, and those without it, ended."""
        exposed, whole = self.exposed(habit), self.whole(habit.within_days)
        return Split(
            with_count=exposed.bit_count(),
            with_stayed=(exposed & self.stayed).bit_count(),
            without_count=(whole & ~exposed).bit_count(),
            without_stayed=(whole & ~exposed & self.stayed).bit_count(),
        )

    def shuffled(self, shuffle: Shuffle) -> int:
        """Who stayed, if it were drawn by lot among those of the same reach.

        Reach follows from the day of the outcome, so it says something of it; within one reach chance alone
        is at work, and of every window as many stay as really did.
        """
        drawn: list[str] = []
        for _, alike in groupby(self.members, key=lambda member: member.reach):
            marks = ["1" if member.stayed else "0" for member in alike]
            shuffle(marks)
            drawn += marks
        return _from_marks(drawn)


def group(members: Iterable[Member]) -> Group:
    """A group whose members stand in the order of reach and id."""
    ordered = tuple(sorted(members, key=lambda member: (member.reach, member.customer_id)))
    return Group(ordered, bits(member.stayed for member in ordered))


def count_of(member: Member, event: str, counting: Counting, within_days: int) -> int:
    """How many events, or active days, a member has in its first days."""
    counts = [count for day, count in member.early.get(event, {}).items() if day < within_days]
    return len(counts) if counting == "active_days" else sum(counts)


def bits(flags: Iterable[bool]) -> int:
    """A set from flags, the first one being the lowest bit."""
    return _from_marks(["1" if flag else "0" for flag in flags])


def _from_marks(marks: Sequence[str]) -> int:
    return int("".join(reversed(marks)) or "0", 2)
