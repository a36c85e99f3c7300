"""The rate of each key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.rates import BURST_SECONDS, Rates
from shared.errors import RateLimited

SECOND_US = 1_000_000


def test_without_a_bound_nothing_is_refused() -> None:
    rates = Rates(None)
    for _ in range(3):
        rates.charge("k", 10**9, 0)
        rates.check("k", 0)


def test_a_burst_may_overdraw_once_and_then_waits_until_the_bucket_is_filled() -> None:
    rates = Rates(100)
    rates.charge("k", 100 * BURST_SECONDS + 250, 0)
    with pytest.raises(RateLimited) as caught:
        rates.check("k", 0)
    # 250 too many at 100 a second.
    assert caught.value.retry_after_seconds == 3
    with pytest.raises(RateLimited):
        rates.check("k", 2 * SECOND_US)
    rates.check("k", 3 * SECOND_US)


def test_one_key_does_not_slow_another() -> None:
    rates = Rates(1)
    rates.charge("a", 1000, 0)
    rates.check("b", 0)


def test_an_empty_request_is_a_request_too() -> None:
    rates = Rates(1)
    for _ in range(BURST_SECONDS + 1):
        rates.charge("k", 0, 0)
    with pytest.raises(RateLimited):
        rates.check("k", 0)


def test_a_clock_set_back_neither_fills_nor_empties() -> None:
    rates = Rates(1)
    rates.charge("k", BURST_SECONDS, 3600 * SECOND_US)
    rates.check("k", 0)
    rates.charge("k", 1, 0)
    with pytest.raises(RateLimited):
        rates.check("k", 0)


@given(sends=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 5 * SECOND_US)), max_size=60))
def test_on_the_average_no_more_gets_in_than_the_bound(sends: list[tuple[int, int]]) -> None:
    rates, now_us, let_in = Rates(50), 0, 0
    largest = max((count for count, _ in sends), default=0)
    for count, pause_us in sends:
        now_us += pause_us
        try:
            rates.check("k", now_us)
        except RateLimited:
            continue
        rates.charge("k", count, now_us)
        let_in += count
    assert let_in <= 50 * BURST_SECONDS + 50 * now_us / SECOND_US + largest
