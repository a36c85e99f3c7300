"""Sets of days as integers, against plain sets."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.core import days

bits = st.sets(st.integers(0, 900))


def as_int(members: set[int]) -> int:
    return sum(1 << bit for bit in members)


@given(bits)
def test_a_set_survives_bytes_and_is_walked_in_order(members: set[int]) -> None:
    assert list(days.each(days.from_bytes(days.to_bytes(as_int(members))))) == sorted(members)


@given(bits, st.integers(0, 901))
def test_neighbours_are_those_of_the_plain_set(members: set[int], bit: int) -> None:
    assert days.highest_below(as_int(members), bit) == max((m for m in members if m < bit), default=None)
    assert days.lowest_from(as_int(members), bit) == min((m for m in members if m >= bit), default=None)


@given(st.integers(0, 40), st.integers(-2, 40))
def test_a_span_has_both_its_ends(first: int, last: int) -> None:
    assert days.span(first, last) == as_int(set(range(first, last + 1)))


@given(st.integers(0, 127), st.integers(700_000, 740_000), st.integers(0, 5000))
def test_weekdays_fall_where_the_calendar_has_them(mask: int, base: int, length: int) -> None:
    expected = {i for i in range(length) if mask >> date.fromordinal(base + i).weekday() & 1}
    assert days.weekdays(mask, base, length) == as_int(expected)
