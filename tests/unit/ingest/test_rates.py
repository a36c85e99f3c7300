"""The rate of each key."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.rates import BURST_SECONDS, Rates
from shared.auth import ApiKey
from shared.errors import RateLimited

SECOND_US = 1_000_000
KEY = ApiKey(prefix="ut_00000001", product="reserve", scopes=("ingest",), created_us=0)
OTHER = ApiKey(prefix="ut_00000002", product="reserve", scopes=("ingest",), created_us=0)


def test_without_a_bound_nothing_is_refused() -> None:
    rates = Rates(None)
    for _ in range(3):
        rates.charge(KEY, 10**9, 0)
        rates.check(KEY, 0)


def test_a_burst_may_overdraw_once_and_then_waits_until_the_bucket_is_filled() -> None:
    rates = Rates(100)
    rates.charge(KEY, 100 * BURST_SECONDS + 250, 0)
    with pytest.raises(RateLimited) as caught:
        rates.check(KEY, 0)
    # 250 too many at 100 a second.
    assert caught.value.retry_after_seconds == 3
    with pytest.raises(RateLimited):
        rates.check(KEY, 2 * SECOND_US)
    rates.check(KEY, 3 * SECOND_US)


def test_one_key_does_not_slow_another() -> None:
    rates = Rates(1)
    rates.charge(KEY, 1000, 0)
    rates.check(OTHER, 0)


@pytest.mark.parametrize("every", [None, 1, 1000])
def test_a_key_with_a_bound_of_its_own_is_held_to_that_one(every: int | None) -> None:
    rates = Rates(every)
    own = msgspec.structs.replace(KEY, events_per_second_max=5)
    rates.charge(own, 5 * BURST_SECONDS, 0)
    rates.check(own, 0)
    rates.charge(own, 10, 0)
    with pytest.raises(RateLimited, match="more than 5 events a second; try again in 2 s"):
        rates.check(own, 0)


def test_an_empty_request_is_a_request_too() -> None:
    rates = Rates(1)
    for _ in range(BURST_SECONDS + 1):
        rates.charge(KEY, 0, 0)
    with pytest.raises(RateLimited):
        rates.check(KEY, 0)


def test_a_clock_set_back_neither_fills_nor_empties() -> None:
    rates = Rates(1)
    rates.charge(KEY, BURST_SECONDS, 3600 * SECOND_US)
    rates.check(KEY, 0)
    rates.charge(KEY, 1, 0)
    with pytest.raises(RateLimited):
        rates.check(KEY, 0)


@given(sends=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 5 * SECOND_US)), max_size=60))
def test_on_the_average_no_more_gets_in_than_the_bound(sends: list[tuple[int, int]]) -> None:
    rates, now_us, let_in = Rates(50), 0, 0
    largest = max((count for count, _ in sends), default=0)
    for count, pause_us in sends:
        now_us += pause_us
        try:
            rates.check(KEY, now_us)
        except RateLimited:
            continue
        rates.charge(KEY, count, now_us)
        let_in += count
    assert let_in <= 50 * BURST_SECONDS + 50 * now_us / SECOND_US + largest
