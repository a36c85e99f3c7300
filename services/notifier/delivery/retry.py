"""When a failed delivery is tried again: soon at first, for a call is for today, then ever less often."""

SECOND_US = 1_000_000

DELAYS_SECONDS = (5, 15, 45, 120, 300, 600, 1200, 1800, 3600, 3600, 7200, 7200, 14400, 14400, 28800)
"""After the first failure, the second, ...: 4 tries within the first 70 seconds, 24 hours in all."""

ATTEMPTS_MAX = len(DELAYS_SECONDS) + 1
RETRY_AFTER_SECONDS_MAX = 3600
JITTER_SHARE = 0.2


def next_attempt_us(
    *, attempt_count: int, now_us: int, jitter: float, retry_after_seconds: float | None = None
) -> int | None:
    """When to try again after `attempt_count` attempts (1 or more); None: given up.

    `jitter` in [0, 1) moves the delay by up to a fifth either way, so that what failed together does
    not come back together. A receiver's Retry-After can only make it later, by an hour at the most.
    """
    if attempt_count > len(DELAYS_SECONDS):
        return None
    delay_us = DELAYS_SECONDS[attempt_count - 1] * SECOND_US
    moved_us = int(delay_us * (1 + JITTER_SHARE * (2 * jitter - 1)))
    asked_us = int(min(retry_after_seconds or 0.0, RETRY_AFTER_SECONDS_MAX) * SECOND_US)
    return now_us + max(moved_us, asked_us)
