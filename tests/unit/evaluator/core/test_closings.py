"""Learned closed weekdays: what one day is told, all days of a history are told at once."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.evaluator.core import days
from services.evaluator.core.closings import USES_MIN, closed_offsets, closings

LENGTH = 400
EVERY_DAY = days.span(0, LENGTH - 1)

histories = st.one_of(
    st.integers(min_value=1, max_value=EVERY_DAY),
    # As restaurants have them: some weekdays, with a few days missed or used all the same.
    st.builds(
        lambda weekdays, base, flips: (
            days.weekdays(weekdays, base, LENGTH) ^ sum(1 << flip for flip in flips)
        ),
        st.integers(min_value=1, max_value=127),
        st.integers(min_value=1, max_value=7),
        st.sets(st.integers(min_value=0, max_value=LENGTH - 1), max_size=30),
    ),
)


@given(histories)
@example(EVERY_DAY)
@example(1)
@example(days.weekdays(0b0111111, 1, LENGTH))
def test_all_days_at_once_are_told_what_each_is_told_alone(active: int) -> None:
    found = closings(active, LENGTH)
    for day in range(LENGTH):
        past = active & ((1 << day) - 1)
        told = days.window(past, day, 56).bit_count() >= USES_MIN
        assert found.told >> day & 1 == told
        if told:
            closed = sum((of >> day & 1) << later for later, of in enumerate(found.closed))
            assert closed == closed_offsets(past, day)


@given(histories, st.integers(min_value=1, max_value=LENGTH))
def test_what_lies_beyond_the_last_day_is_not_looked_at(active: int, length: int) -> None:
    whole = closings(active, LENGTH)
    cut = closings(active, length)
    kept = days.span(0, length - 1)
    assert cut.told == whole.told & kept
    assert cut.closed == tuple(of & kept for of in whole.closed)
