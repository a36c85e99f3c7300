"""Time moves as far as both clocks say, and never back."""

import pytest

from services.evaluator.core.watermark import SKEW_MAX_US, is_suspicious, moved, skew_us


@pytest.mark.parametrize(
    ("before", "tick", "appended", "after"),
    [(0, 10, 10, 10), (0, 10, 7, 7), (0, 7, 10, 7), (9, 7, 10, 9), (9, 20, 3, 9), (9, 9, 9, 9)],
)
def test_it_is_the_earlier_of_two_clocks_or_stays(before: int, tick: int, appended: int, after: int) -> None:
    assert moved(before, tick_at_us=tick, appended_us=appended) == after


def test_clocks_are_suspicious_when_more_than_a_minute_apart_either_way() -> None:
    assert not is_suspicious(skew_us(tick_at_us=SKEW_MAX_US, appended_us=0))
    assert is_suspicious(skew_us(tick_at_us=SKEW_MAX_US + 1, appended_us=0))
    assert is_suspicious(skew_us(tick_at_us=0, appended_us=SKEW_MAX_US + 1))
