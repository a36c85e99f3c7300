"""Usage days around changes of the clock, in every zone: the engine's search against the oracle's walk."""

from collections.abc import Iterator
from random import Random
from zoneinfo import available_timezones

import pytest

from services.evaluator.core import calendar
from tests.histories import DAY_US, MINUTE_US, ZONES, Story
from tests.oracle.calendar import DAY_MINUTES, Settings, Timeline, offset_at
from tests.property.scale import HISTORIES

DAY_STARTS = (0, 150, 300, 720, 1380, 1439)
CUTOFFS = (None, 0, 1, 30, 150, 300, 840, 1410, 1439)
EPOCH_DAY = 719_163
FIRST_YEAR, LAST_YEAR = 1990, 2037
STEP_MINUTES = 360  # no zone has changed its clock twice within six hours


def utc_minutes(year: int) -> tuple[int, int]:
    """The first UTC minute of a year and of the next."""
    story = Story()
    return story.us(f"{year}-01-01 00:00") // MINUTE_US, story.us(f"{year + 1}-01-01 00:00") // MINUTE_US


def changes(zone: str, year: int) -> Iterator[int]:
    """The UTC minutes, to within six hours, at which the zone's clock changes in a year."""
    first, last = utc_minutes(year)
    for minute in range(first, last, STEP_MINUTES):
        if offset_at(zone, minute) != offset_at(zone, minute + STEP_MINUTES):
            yield minute


def check_around(zone: str, day: int, random: Random, *, thorough: bool) -> None:
    """Every bound of the days next to `day`, and the days of the instants next to those bounds."""
    day_starts_tried = DAY_STARTS if thorough else (0, random.choice(DAY_STARTS[1:]))
    for day_starts in day_starts_tried:
        timeline = Timeline((Settings(zone=zone, day_starts=day_starts),))
        for near in range(day - 2, day + 3):
            case = f"{zone}, day starts at {day_starts}, day {near}"
            length = timeline.has_length(near)
            assert calendar.has_length(zone, day_starts, near) == length, case
            for cutoff in CUTOFFS if thorough else (None, *random.sample(CUTOFFS, 3)):
                expected_us = timeline.cutoff_us(near, cutoff)
                assert calendar.cutoff_us(zone, day_starts, near, cutoff) == expected_us, (case, cutoff)
            if not length:
                continue
            opens_us, closes_us = timeline.opens_us(near), timeline.closes_us(near)
            assert opens_us is not None
            assert closes_us is not None
            assert calendar.opens_us(zone, day_starts, near) == opens_us, case
            assert calendar.closes_us(zone, day_starts, near) == closes_us, case
            for us in (opens_us - 1, opens_us, closes_us - 1, closes_us, random.randint(opens_us, closes_us)):
                assert calendar.day_of(zone, day_starts, us) == timeline.day_of(us), (case, us)


@pytest.mark.parametrize(("zone", "dates"), ZONES, ids=[zone for zone, _ in ZONES])
def test_days_of_the_zones_that_are_worth_a_look(zone: str, dates: tuple[str, ...]) -> None:
    for on in dates:
        day = Story().us(f"{on} 00:00") // DAY_US + EPOCH_DAY
        check_around(zone, day, Random(f"{zone} {on}"), thorough=True)


def test_days_around_changes_of_the_clock_in_every_zone() -> None:
    """A draw of zones and years by default; all of them where histories are asked for."""
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    if not HISTORIES:
        zones = Random(1990).sample(zones, 60)
    found = 0
    for zone in zones:
        random = Random(zone)
        years = list(range(FIRST_YEAR, LAST_YEAR + 1))
        for year in years if HISTORIES else random.sample(years, 3):
            for minute in changes(zone, year):
                found += 1
                check_around(zone, minute // DAY_MINUTES + EPOCH_DAY, random, thorough=False)
    assert found >= 100


@pytest.mark.parametrize(
    ("zone", "on", "day_starts", "cutoff"),
    [
        ("Europe/Berlin", "2026-10-25", 0, 150),
        ("Europe/Berlin", "2026-03-29", 150, 840),
        ("America/St_Johns", "2010-11-07", 0, 1439),
        ("America/Havana", "2026-11-01", 30, 30),
        ("Pacific/Apia", "2011-12-29", 720, 30),
        ("Australia/Lord_Howe", "2026-04-05", 0, 90),
    ],
)
def test_the_oracle_itself_agrees_with_a_walk_through_every_minute(
    zone: str, on: str, day_starts: int, cutoff: int
) -> None:
    day = Story().us(f"{on} 00:00") // DAY_US + EPOCH_DAY
    first = (day - EPOCH_DAY - 3) * DAY_MINUTES
    shown = {m: m + offset_at(zone, m) - day_starts for m in range(first, first + 7 * DAY_MINUTES)}
    inside = [m for m, local in shown.items() if local // DAY_MINUTES == day - EPOCH_DAY]
    due = (day - EPOCH_DAY) * DAY_MINUTES + (cutoff - day_starts) % DAY_MINUTES
    timeline = Timeline((Settings(zone=zone, day_starts=day_starts),))
    assert timeline.opens_us(day) == min(inside) * MINUTE_US
    assert timeline.closes_us(day) == (max(inside) + 1) * MINUTE_US
    assert timeline.cutoff_us(day, cutoff) == min(m for m, at in shown.items() if at >= due) * MINUTE_US
