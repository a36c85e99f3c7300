"""When a failed delivery is tried again."""

import pytest

from services.notifier.delivery.retry import ATTEMPTS_MAX, DELAYS_SECONDS, next_attempt_us

SECOND = 1_000_000


@pytest.mark.parametrize(("attempt_count", "seconds"), [(1, 5), (2, 15), (3, 45), (4, 120), (15, 28800)])
def test_each_failure_waits_longer(attempt_count: int, seconds: int) -> None:
    # jitter 0.5 lies in the middle: neither earlier nor later
    assert next_attempt_us(attempt_count=attempt_count, now_us=0, jitter=0.5) == seconds * SECOND


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
def test_jitter_moves_a_delay_by_a_fifth_at_the_most(jitter: float, share: float) -> None:
    at_us = next_attempt_us(attempt_count=4, now_us=0, jitter=jitter)
    assert at_us == pytest.approx(120 * SECOND * share, rel=1e-5)


def test_the_schedule_covers_a_day_and_then_gives_up() -> None:
    assert 23 * 3600 <= sum(DELAYS_SECONDS) <= 25 * 3600
    assert next_attempt_us(attempt_count=ATTEMPTS_MAX, now_us=0, jitter=0.5) is None


def test_retry_after_makes_it_later_never_earlier() -> None:
    assert next_attempt_us(attempt_count=1, now_us=0, jitter=0.5, retry_after_seconds=30) == 30 * SECOND
    assert next_attempt_us(attempt_count=4, now_us=0, jitter=0.5, retry_after_seconds=1) == 120 * SECOND


def test_retry_after_a_week_is_an_hour() -> None:
    assert next_attempt_us(attempt_count=1, now_us=0, jitter=0.5, retry_after_seconds=6e5) == 3600 * SECOND
