"""Expectation: what the days before a day say of it."""

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import calls
from services.evaluator.core.closings import learned_closed
from services.evaluator.core.expectation import (
    FALSE_CALLS_A_YEAR,
    MIN_SURPRISE_DEFAULT,
    MIN_SURPRISE_LEAST,
    REASON_VALUES,
    combine,
    customary_breaks,
    expect,
)

MONDAY = date(2026, 3, 2).toordinal()  # bit 0 of the histories below
MON, TUE, SAT, SUN = 0b1, 0b10, 0b100000, 0b1000000

histories = st.integers(min_value=0, max_value=2**500 - 1)
calendars = st.integers(min_value=0, max_value=2**520 - 1)
offsets = st.integers(min_value=-5, max_value=510)


def weeks(pattern: int, count: int) -> int:
    """A history of whole weeks from a Monday; bit 0 of the pattern is Monday."""
    return sum(pattern << (7 * week) for week in range(count))


def without(active: int, *offsets: int) -> int:
    for offset in offsets:
        active &= ~(1 << offset)
    return active


def codes(active: int, offset: int, **calendar: int) -> list[str]:
    return [reason.code for reason in expect(active, MONDAY, MONDAY + offset, **calendar).reasons]


def surprise(active: int, offset: int, **calendar: int) -> float:
    return expect(active, MONDAY, MONDAY + offset, **calendar).surprise


ALL_WEEK = 0b1111111
NOT_MONDAYS = ALL_WEEK & ~MON


@given(active=histories, offset=offsets, later=histories, holidays=calendars, breaks=calendars)
def test_nothing_at_or_after_the_day_judged_is_read(
    active: int, offset: int, later: int, holidays: int, breaks: int
) -> None:
    day = MONDAY + offset
    known = active & ((1 << max(offset, 0)) - 1)
    other = known | later << max(offset, 0)
    assert learned_closed(known, MONDAY, day) == learned_closed(other, MONDAY, day)
    judged = expect(known, MONDAY, day, holidays=holidays, breaks=breaks)
    assert judged == expect(other, MONDAY, day, holidays=holidays, breaks=breaks)


@given(active=histories, offset=offsets, shift=st.integers(min_value=0, max_value=40))
def test_the_base_is_only_a_way_of_writing(active: int, offset: int, shift: int) -> None:
    day = MONDAY + offset
    assert learned_closed(active, MONDAY, day) == learned_closed(active << shift, MONDAY - shift, day)
    assert expect(active, MONDAY, day) == expect(active << shift, MONDAY - shift, day)


@given(active=histories, offset=offsets, holidays=calendars, breaks=calendars)
def test_every_answer_is_a_chance_with_reasons_of_the_closed_list(
    active: int, offset: int, holidays: int, breaks: int
) -> None:
    found = expect(active, MONDAY, MONDAY + offset, holidays=holidays, breaks=breaks)
    assert 0.0 <= found.surprise < 1.0
    assert MIN_SURPRISE_LEAST <= found.enough <= MIN_SURPRISE_DEFAULT
    assert found.expected or found.surprise == 0.0
    for reason in found.reasons:
        assert tuple(reason.values) == REASON_VALUES[reason.code]
        assert all(value >= 0 for value in reason.values.values())


def test_a_weekday_never_used_is_closed_after_a_month() -> None:
    assert learned_closed(weeks(NOT_MONDAYS, 4), MONDAY, MONDAY + 28) == MON


def test_two_closed_weekdays_are_both_learned_whatever_the_weekday_judged() -> None:
    active = weeks(ALL_WEEK & ~SAT & ~SUN, 8)
    assert {learned_closed(active, MONDAY, MONDAY + 56 + turn) for turn in range(7)} == {SAT | SUN}


def test_two_uses_in_eight_weeks_leave_a_weekday_closed_and_three_do_not() -> None:
    # The other weekdays were used 8 times each: a quarter of that is 2.
    shut = weeks(NOT_MONDAYS, 8)
    assert learned_closed(shut | 1 << 7 | 1 << 28, MONDAY, MONDAY + 56) == MON
    assert learned_closed(shut | 1 << 7 | 1 << 28 | 1 << 42, MONDAY, MONDAY + 56) == 0


def test_two_weeks_are_too_few_to_learn_from() -> None:
    assert learned_closed(weeks(NOT_MONDAYS, 2), MONDAY, MONDAY + 14) == 0


def test_a_change_of_the_closed_weekday_is_learned_from_the_last_eight_weeks() -> None:
    active = weeks(NOT_MONDAYS, 30) | weeks(ALL_WEEK & ~TUE, 8) << 210
    assert learned_closed(active, MONDAY, MONDAY + 266) == TUE


def test_a_long_silence_closes_no_weekday_and_forgets_none() -> None:
    active = weeks(NOT_MONDAYS, 12)
    assert learned_closed(active, MONDAY, MONDAY + 7 * 24) == MON
    assert learned_closed(weeks(ALL_WEEK, 12), MONDAY, MONDAY + 7 * 24) == 0
    assert learned_closed(active | 1 << 7 * 24 + 1, MONDAY, MONDAY + 7 * 24 + 3) == MON


def test_a_customer_that_comes_monthly_has_no_closed_weekday() -> None:
    active = sum(1 << 30 * month for month in range(12))
    assert learned_closed(active, MONDAY, MONDAY + 365) == 0


def test_a_closed_weekday_is_not_expected_and_says_why() -> None:
    found = expect(weeks(NOT_MONDAYS, 12), MONDAY, MONDAY + 84)
    assert (found.expected, found.surprise) == (False, 0.0)
    assert [(r.code, r.values) for r in found.reasons] == [
        ("closed_weekday", {"weekday": 0, "active": 0, "weeks": 11})
    ]


def test_no_day_is_expected_up_to_the_first_use() -> None:
    assert not expect(0, MONDAY, MONDAY + 10).expected
    assert not expect(1 << 10, MONDAY, MONDAY + 10).expected


def test_the_miss_of_a_customer_that_never_missed_is_worth_a_call_at_once() -> None:
    found = expect(weeks(ALL_WEEK, 20), MONDAY, MONDAY + 140)
    assert found.surprise >= found.enough == MIN_SURPRISE_DEFAULT


def test_a_weekday_missed_lately_is_doubtful_and_one_missed_long_ago_less_so() -> None:
    never = surprise(weeks(ALL_WEEK, 26), 182)
    lately = surprise(without(weeks(ALL_WEEK, 26), 175), 182)
    long_ago = surprise(without(weeks(ALL_WEEK, 26), 7), 182)
    assert lately < long_ago < never


def test_a_doubtful_day_is_confirmed_by_the_next() -> None:
    active = without(weeks(ALL_WEEK, 26), 20, 50, 80, 110, 140, 161)
    first, second = surprise(active, 182), surprise(active, 183)
    assert first < MIN_SURPRISE_DEFAULT <= combine((first, second))


def test_combined_surprise_is_that_of_use_on_at_least_one_day() -> None:
    assert combine(()) == 0.0
    assert combine((0.5, 0.8)) == pytest.approx(1 - 0.5 * 0.2)
    assert combine((1.0, 1.0)) <= 1.0


def test_one_who_missed_earlier_holidays_is_hardly_expected_on_the_next() -> None:
    holidays = 1 << 40 | 1 << 75 | 1 << 110 | 1 << 140
    worked = weeks(ALL_WEEK, 20)
    rested = without(worked, 40, 75, 110)
    assert surprise(rested, 140, holidays=holidays) < 0.5 < 0.9 < surprise(worked, 140, holidays=holidays)
    assert codes(rested, 140, holidays=holidays)[0] == "public_holiday"


def test_a_missed_holiday_is_not_held_against_its_weekday() -> None:
    active = without(weeks(ALL_WEEK, 20), 133)
    assert surprise(active, 140, holidays=1 << 133) > surprise(active, 140)


def test_a_customary_break_is_doubtful_without_a_record_of_its_own() -> None:
    active = weeks(ALL_WEEK, 20)
    assert surprise(active, 140, breaks=1 << 140) < MIN_SURPRISE_DEFAULT < surprise(active, 140)
    assert "customary_break" in codes(active, 140, breaks=1 << 140)


def test_a_closing_moved_from_its_weekday_makes_the_next_day_doubtful() -> None:
    # Closed on Mondays, but open on Monday the 84th day: Tuesday is rather taken off instead.
    active = weeks(NOT_MONDAYS, 12)
    assert surprise(active | 1 << 84, 85) < surprise(active, 85)
    assert "moved_opening" in codes(active | 1 << 84, 85)


def test_a_week_of_silence_a_year_ago_is_told() -> None:
    active = without(weeks(ALL_WEEK, 58), *range(27, 34))
    assert "silent_last_year" in codes(active, 30 + 365)
    assert "silent_last_year" not in codes(active, 60 + 340)


def test_cold_start_is_less_sure_and_says_so_and_two_days_confirm_each_other() -> None:
    first, second = surprise(weeks(ALL_WEEK, 1), 7), surprise(weeks(ALL_WEEK, 1), 8)
    assert first < 0.95 < surprise(weeks(ALL_WEEK, 8), 56)
    assert combine((first, second)) > MIN_SURPRISE_DEFAULT
    assert "short_history" in codes(weeks(ALL_WEEK, 1), 7)


def test_one_that_comes_monthly_is_no_surprise_on_any_one_day_but_over_weeks() -> None:
    active = sum(1 << 30 * month for month in range(6))
    days = [surprise(active, 151 + offset) for offset in range(90)]
    assert max(days) < 0.1
    assert combine(days[:7]) < 0.5 < combine(days)


def test_what_is_enough_keeps_a_seldom_customer_within_its_false_calls() -> None:
    # Once a week is 52 uses a year: with calls on 1 - enough of the gaps, about 4 a year.
    weekly = expect(weeks(TUE, 26), MONDAY, MONDAY + 183).enough
    assert 52 * (1 - weekly) == pytest.approx(FALSE_CALLS_A_YEAR, rel=0.25)
    monthly = sum(1 << 30 * month for month in range(6))
    assert expect(monthly, MONDAY, MONDAY + 151).enough < weekly < MIN_SURPRISE_DEFAULT


def test_what_is_enough_holds_still_while_a_silence_lasts() -> None:
    active = weeks(TUE, 10)
    assert len({expect(active, MONDAY, MONDAY + 65 + silent).enough for silent in range(60)}) == 1


@pytest.mark.skipif(
    not (calls.DATA / "restaurant_days.csv.gz").exists(),
    reason="needs the folder of usage histories named by USAGE_TRIGGERS_DATA, or ../shared/data",
)
def test_four_false_calls_a_year_and_most_stops_by_the_second_day_on_real_histories() -> None:
    histories = calls.read_histories("restaurant_days.csv.gz")
    half = [history for history in histories if calls.in_half(history.customer_id, "b")]
    judge = calls.from_history("JP", frozenset())
    measured = [calls.measure(h, judge, 2, random.Random(f"7:{h.customer_id}")) for h in half]
    figures = calls.figures(measured, None)
    assert figures.false_calls <= 4
    assert figures.first_day >= 0.55
    assert figures.second_day >= 0.87


def test_the_strongest_reason_stands_first() -> None:
    steady = weeks(ALL_WEEK, 20)
    assert codes(without(steady, 138, 139), 140)[0] == "silent_before"


def test_customary_breaks_fall_on_their_dates_and_nowhere_without_a_country() -> None:
    base = date(2026, 12, 1).toordinal()
    found = customary_breaks("JP", base, 60)
    expected = [date(2026, 12, 30), date(2026, 12, 31), *(date(2027, 1, day) for day in range(1, 5))]
    assert found == sum(1 << (day.toordinal() - base) for day in expected)
    assert customary_breaks("JP-13", base, 60) == found
    assert customary_breaks("XX", base, 60) == 0
    assert customary_breaks("JP", base, 0) == 0
