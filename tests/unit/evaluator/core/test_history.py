"""What a whole history says of a day is what the past of that day says."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.core import days
from services.evaluator.core.history import read_whole
from services.evaluator.core.past import NONE_EXCUSED, Past
from services.evaluator.core.rules import Settings
from services.evaluator.core.state import Segment

BASE = date(2024, 11, 1).toordinal()
LENGTH = 420

SETTINGS = (
    Settings(zone="UTC", day_starts=0, learns=False),
    Settings(zone="Asia/Tokyo", day_starts=0),
    Settings(zone="Asia/Tokyo", day_starts=300, holidays="JP", closed_weekdays=0b1),
    Settings(zone="Europe/London", day_starts=0, closures=((BASE + 40, BASE + 60),), learns=False),
)


@st.composite
def histories(draw: st.DrawFn) -> int:
    """Active days: a rhythm of weekdays with misses, and a long silence."""
    rhythm = days.weekdays(draw(st.integers(1, 127)), BASE, LENGTH)
    missed = days.set_of(draw(st.lists(st.integers(0, LENGTH - 1), max_size=30)), 0)
    begin = draw(st.integers(0, LENGTH - 1))
    silence = days.span(begin, begin + draw(st.integers(0, 90)))
    return rhythm & ~missed & ~silence


@pytest.mark.parametrize("settings", SETTINGS)
@given(active=histories(), asked=st.lists(st.integers(0, LENGTH), min_size=1, max_size=12))
def test_a_whole_past_answers_as_the_past_of_the_day(
    settings: Settings, active: int, asked: list[int]
) -> None:
    past = Past(BASE, active, (Segment(None, settings),), (), NONE_EXCUSED)
    whole = read_whole(past, {}, last_on=BASE + LENGTH - 1).past
    for day in (BASE + bit for bit in asked):
        assert whole.learned(day) == past.learned(day)
        assert whole.expectation(day) == past.expectation(day)
        assert whole.streak_before(day) == past.streak_before(day)
        if past.is_active(day):
            assert whole.streak_ending(day, day) == past.streak_ending(day, day)


@pytest.mark.parametrize("settings", SETTINGS)
@given(active=histories())
def test_the_days_expected_are_those_that_each_day_expects(settings: Settings, active: int) -> None:
    past = Past(BASE, active, (Segment(None, settings),), (), NONE_EXCUSED)
    if active:
        found = read_whole(past, {}, last_on=BASE + LENGTH - 1).expected_among(days.span(0, LENGTH - 1))
        expected = [day for day in range(BASE, BASE + LENGTH) if past.is_expected(day)]
        assert found == days.set_of(expected, BASE)
