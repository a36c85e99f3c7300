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


@given(bits, bits)
def test_the_first_ones_of_every_gap_are_those_that_a_walk_meets(found: set[int], used: set[int]) -> None:
    expected, met = set(), False
    for bit in range(902):
        if bit in found and not met:
            expected.add(bit)
        met = (met or bit in found) and bit not in used
    assert days.firsts(as_int(found), as_int(used)) == as_int(expected)


@given(st.lists(st.integers(0, 900)), st.integers(0, 740_000))
def test_a_set_of_days_has_each_of_them_once(members: list[int], base: int) -> None:
    assert days.set_of([base + bit for bit in members], base) == as_int(set(members))


@given(bits, st.integers(1, 40))
def test_a_smeared_set_reaches_as_far_as_told(members: set[int], count: int) -> None:
    assert days.smeared(as_int(members), count) == as_int({m + n for m in members for n in range(count)})
