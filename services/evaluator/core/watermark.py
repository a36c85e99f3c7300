"""How far time has come in a partition: what a tick says, held against the log's own clock.

A day is judged only when both clocks, the writer's and the log's, have passed it, so one of them alone may be
hours ahead and accuse nobody. Everything acknowledged before a tick lies before it in the log.
"""

SKEW_MAX_US = 60 * 1_000_000
"""Clocks further apart than this raise an alarm; the earlier one goes on counting (decision record 0042)."""


def moved(watermark_us: int, *, tick_at_us: int, appended_us: int) -> int:
    """The watermark after a tick; it never goes back."""
    return max(watermark_us, min(tick_at_us, appended_us))


def skew_us(*, tick_at_us: int, appended_us: int) -> int:
    """How far the tick's writer is ahead of the log; behind it also by the time the append took."""
    return tick_at_us - appended_us


def is_suspicious(skew: int) -> bool:
    """Whether the two clocks are further apart than a healthy pair ever is."""
    return abs(skew) > SKEW_MAX_US
