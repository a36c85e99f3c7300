"""Local times as instants, where clocks are moved."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.planning.zones import (
    day_closes_us,
    instant_of,
    instant_us,
    local_day,
    openings,
    parse_window,
)
from shared.clock import from_us, rfc3339, to_us
from tests.unit.notifier.cases import at

BERLIN = ZoneInfo("Europe/Berlin")
TOKYO = ZoneInfo("Asia/Tokyo")
ZONES = (
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Gaza",
)


def test_a_plain_time_is_itself() -> None:
    assert instant_us(date(2026, 3, 2), time(14, 0), TOKYO) == at("2026-03-02T14:00+09:00")


def test_a_skipped_time_is_the_end_of_the_gap() -> None:
    # 2026-03-29: 02:00 becomes 03:00 in Berlin.
    assert rfc3339(instant_us(date(2026, 3, 29), time(2, 30), BERLIN)) == "2026-03-29T01:00:00Z"


def test_a_repeated_time_is_its_first_occurrence() -> None:
    # 2026-10-25: 03:00 becomes 02:00 in Berlin; 02:30 comes at 00:30Z and again at 01:30Z.
    assert rfc3339(instant_us(date(2026, 10, 25), time(2, 30), BERLIN)) == "2026-10-25T00:30:00Z"


@given(
    day=st.dates(date(1990, 1, 1), date(2037, 12, 30)),
    minute=st.integers(0, 24 * 60 - 1),
    name=st.sampled_from(ZONES),
)
def test_an_instant_is_the_first_at_which_clocks_show_that_time_or_a_later_one(
    day: date, minute: int, name: str
) -> None:
    zone, wanted = ZoneInfo(name), time(minute // 60, minute % 60)
    found_us = instant_us(day, wanted, zone)
    shown = from_us(found_us).astimezone(zone).replace(tzinfo=None)
    just_before = from_us(found_us - 1).astimezone(zone).replace(tzinfo=None)
    assert (shown.date(), shown.time()) >= (day, wanted)
    assert (just_before.date(), just_before.time()) < (day, wanted)


@given(
    at_us=st.integers(to_us(from_us(0)), at("2037-12-30T00:00+00:00")),
    name=st.sampled_from(ZONES),
    hour=st.integers(0, 23),
)
def test_a_day_closes_after_every_instant_in_it(at_us: int, name: str, hour: int) -> None:
    zone, day_starts_at = ZoneInfo(name), time(hour)
    closes_us = day_closes_us(at_us, zone, day_starts_at)
    assert closes_us > at_us
    assert local_day(closes_us, zone, day_starts_at) > local_day(at_us, zone, day_starts_at)


def test_before_the_days_start_it_is_still_the_day_before() -> None:
    assert local_day(at("2026-03-02T04:59+09:00"), TOKYO, time(5)) == date(2026, 3, 1)
    assert local_day(at("2026-03-02T05:00+09:00"), TOKYO, time(5)) == date(2026, 3, 2)


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    # Sunday is closed; at one on Monday morning Sunday's 22:00-02:00 would be open, were it not.
    monday_1am = at("2026-03-02T01:00+09:00")
    spans = openings(parse_window("22:00-02:00"), TOKYO, from_us=monday_1am, days_max=3)
    assert next(spans) == (at("2026-03-01T22:00+09:00"), at("2026-03-02T02:00+09:00"))
    open_days = openings(
        parse_window("22:00-02:00"),
        TOKYO,
        from_us=monday_1am,
        days_max=3,
        is_closed=lambda day: day.weekday() == 6,
    )
    assert next(open_days)[0] == at("2026-03-02T22:00+09:00")


def test_a_window_inside_a_gap_is_not_open_that_day() -> None:
    spans = openings(parse_window("02:10-02:40"), BERLIN, from_us=at("2026-03-29T00:00+01:00"), days_max=2)
    assert rfc3339(next(spans)[0]) == "2026-03-30T00:10:00Z"


@pytest.mark.parametrize("window", ["", "14:00", "14:00-14:00", "14-17", "25:00-26:00"])
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_window(window)


def test_an_instant_is_read_from_its_text() -> None:
    assert instant_of("2026-03-02T05:15:01Z") == at("2026-03-02T14:15:01+09:00")
