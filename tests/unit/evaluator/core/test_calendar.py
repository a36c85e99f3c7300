"""Usage days against the UTC line: ordinary days, gaps, repeats, a day that never was."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.evaluator.core.calendar import (
    DAY_US,
    HOUR_US,
    closes_us,
    cutoff_us,
    day_of,
    has_length,
    lengthless_days,
    opens_us,
)
from shared.clock import to_us


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


FIVE = 5 * 60


def test_a_day_start_at_five_puts_the_night_into_the_day_before() -> None:
    assert day_of("Asia/Tokyo", FIVE, us("2026-03-02T04:59:59.999999+09:00")) == day("2026-03-01")
    assert day_of("Asia/Tokyo", FIVE, us("2026-03-02T05:00+09:00")) == day("2026-03-02")


def test_a_day_opens_and_closes_at_its_day_start() -> None:
    assert opens_us("Asia/Tokyo", FIVE, day("2026-03-02")) == us("2026-03-02T05:00+09:00")
    assert closes_us("Asia/Tokyo", FIVE, day("2026-03-02")) == us("2026-03-03T05:00+09:00")


def test_a_cutoff_before_the_day_start_lies_on_the_next_date() -> None:
    assert cutoff_us("Asia/Tokyo", FIVE, day("2026-03-02"), 14 * 60) == us("2026-03-02T14:00+09:00")
    assert cutoff_us("Asia/Tokyo", FIVE, day("2026-03-02"), 2 * 60) == us("2026-03-03T02:00+09:00")
    assert cutoff_us("Asia/Tokyo", FIVE, day("2026-03-02"), None) == us("2026-03-03T05:00+09:00")


def test_a_day_with_a_change_of_clocks_has_23_or_25_hours() -> None:
    spring, autumn = day("2026-03-29"), day("2026-10-25")
    assert closes_us("Europe/Berlin", 0, spring) - opens_us("Europe/Berlin", 0, spring) == DAY_US - HOUR_US
    assert closes_us("Europe/Berlin", 0, autumn) - opens_us("Europe/Berlin", 0, autumn) == DAY_US + HOUR_US


def test_a_cutoff_in_a_gap_is_the_first_instant_after_it() -> None:
    # 02:30 does not exist on 29 March 2026 in Berlin: clocks go from 02:00 to 03:00 at 01:00 UTC.
    assert cutoff_us("Europe/Berlin", 0, day("2026-03-29"), 150) == us("2026-03-29T01:00+00:00")


def test_a_cutoff_on_a_repeated_time_is_its_first_occurrence() -> None:
    # 02:30 comes twice on 25 October 2026 in Berlin, first as summer time (UTC+2).
    assert cutoff_us("Europe/Berlin", 0, day("2026-10-25"), 150) == us("2026-10-25T00:30+00:00")


def test_a_midnight_that_does_not_exist_opens_the_day_after_the_gap() -> None:
    # Beirut went from 00:00 to 01:00 on 27 March 2022.
    assert opens_us("Asia/Beirut", 0, day("2022-03-27")) == us("2022-03-26T22:00+00:00")


def test_a_day_that_comes_back_closes_after_its_last_instant() -> None:
    # In St. John's, clocks went back from 00:01 to 23:01 on 7 November 2010: for 59 minutes the 6th
    # came back.
    sixth = day("2010-11-06")
    first_midnight = us("2010-11-07T00:00-02:30")
    assert day_of("America/St_Johns", 0, first_midnight) == sixth + 1
    assert day_of("America/St_Johns", 0, first_midnight + 60_000_000) == sixth
    assert closes_us("America/St_Johns", 0, sixth) == us("2010-11-07T00:00-03:30")


def test_a_skipped_date_has_no_length() -> None:
    skipped = day("2011-12-30")
    assert not has_length("Pacific/Apia", 0, skipped)
    assert has_length("Pacific/Apia", 0, skipped - 1)
    assert has_length("Pacific/Apia", 0, skipped + 1)
    assert skipped in lengthless_days("Pacific/Apia", 0, (skipped - day("1970-01-01")) // 64)


@pytest.mark.parametrize(
    "zone", ["Asia/Tokyo", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
)
def test_days_agree_with_the_local_clock_every_twenty_minutes_of_two_years(zone: str) -> None:
    at = datetime(2023, 1, 1, tzinfo=ZoneInfo("UTC"))
    for _ in range(2 * 365 * 72):
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - timedelta(minutes=FIVE)
        assert day_of(zone, FIVE, to_us(at)) == local.toordinal(), at
        at += timedelta(minutes=20)


def test_an_instant_belongs_to_the_day_between_opening_and_closing() -> None:
    for zone in ("Europe/London", "America/Sao_Paulo", "Asia/Amman"):
        for ordinal in range(day("2017-01-01"), day("2019-01-01")):
            opens, closes = opens_us(zone, 0, ordinal), closes_us(zone, 0, ordinal)
            assert day_of(zone, 0, opens) == day_of(zone, 0, closes - 1) == ordinal
            assert day_of(zone, 0, opens - 1) != ordinal != day_of(zone, 0, closes)
