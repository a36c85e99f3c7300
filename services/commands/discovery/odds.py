"""Shares of those who stayed, with a habit and without, and how surely they differ. Pure arithmetic."""

from collections.abc import Sequence
from math import exp, inf, lgamma, sqrt
from typing import Final

import msgspec

_Z_95: Final = 1.959964
_ROUNDING: Final = 1 + 1e-9


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Customers with a habit and without it, and how many of each stayed."""

    with_count: int
    with_stayed: int
    without_count: int
    without_stayed: int

    @property
    def count(self) -> int:
        return self.with_count + self.without_count

    @property
    def stayed_count(self) -> int:
        return self.with_stayed + self.without_stayed

    @property
    def with_rate(self) -> float:
        return self.with_stayed / self.with_count if self.with_count else 0.0

    @property
    def without_rate(self) -> float:
        return self.without_stayed / self.without_count if self.without_count else 0.0

    @property
    def difference(self) -> float:
        """How much more of those with the habit stayed, -1 to 1."""
        return self.with_rate - self.without_rate

    @property
    def lift(self) -> float:
        """How often those with the habit stayed, against all."""
        return self.with_rate * self.count / self.stayed_count if self.stayed_count else 0.0


def deviation(*, count: int, stayed_count: int, with_count: int) -> float:
    """Standard deviation of how many of those with a habit stay, if it has nothing to do with staying."""
    if count < 2:
        return 0.0
    ways = stayed_count * (count - stayed_count) * with_count * (count - with_count)
    return sqrt(ways / (count - 1)) / count


def score(split: Split) -> float:
    """How many standard deviations more of those with the habit stayed than nothing but chance would have."""
    spread = deviation(count=split.count, stayed_count=split.stayed_count, with_count=split.with_count)
    if not spread:
        return 0.0
    return (split.with_stayed - split.with_count * split.stayed_count / split.count) / spread


def fisher(split: Split) -> float:
    """Fisher's exact test, two-sided: how likely a split at least as uneven is, the margins being given."""
    low = max(0, split.with_count + split.stayed_count - split.count)
    high = min(split.with_count, split.stayed_count)
    logs = [
        _log_ways(split.with_count, k) + _log_ways(split.without_count, split.stayed_count - k)
        for k in range(low, high + 1)
    ]
    whole = _log_ways(split.count, split.stayed_count)
    chances = [exp(log - whole) for log in logs]
    bound = chances[split.with_stayed - low] * _ROUNDING
    return min(1.0, sum(chance for chance in chances if chance <= bound))


def interval(split: Split) -> tuple[float, float]:
    """Newcombe's 95 % interval of the difference, from Wilson's of both shares; good for small groups too."""
    with_low, with_high = _wilson(split.with_stayed, split.with_count)
    without_low, without_high = _wilson(split.without_stayed, split.without_count)
    below = sqrt((split.with_rate - with_low) ** 2 + (without_high - split.without_rate) ** 2)
    above = sqrt((with_high - split.with_rate) ** 2 + (split.without_rate - without_low) ** 2)
    return split.difference - below, split.difference + above


def holm(chances: Sequence[float]) -> list[float]:
    """Each chance corrected for there being several, by Holm: none of them is wrongly believed too often."""
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    corrected = [0.0] * len(chances)
    so_far = 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, chances[i] * (len(chances) - rank)))
        corrected[i] = so_far
    return corrected


def _wilson(part: int, whole: int) -> tuple[float, float]:
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, _Z_95 * _Z_95
    middle = share + square / (2 * whole)
    half = _Z_95 * sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    return (middle - half) / (1 + square / whole), (middle + half) / (1 + square / whole)


def _log_ways(count: int, chosen: int) -> float:
    if not 0 <= chosen <= count:
        return -inf
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)
