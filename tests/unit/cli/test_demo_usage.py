"""The demo's usage is lifelike, and the same whenever it is asked for."""

from datetime import date, datetime, timedelta

from services.commands.demonstration.clock import FastClock
from services.commands.demonstration.restaurants import (
    HABIT_DAYS,
    NEW_COUNT,
    STOPS_FIRST_DAYS,
    Restaurant,
    restaurants,
)
from services.commands.demonstration.show import demo_config
from services.commands.demonstration.usage import uses_on
from shared.clock import ManualClock

FIRST_ON, LIVE_ON = date(2026, 6, 1), date(2026, 11, 1)


def everybody(seed: int = 7) -> tuple[Restaurant, ...]:
    return restaurants(seed=seed, first_on=FIRST_ON, last_on=LIVE_ON + timedelta(days=60), live_on=LIVE_ON)


def test_the_same_seed_gives_the_same_usage_and_another_seed_another() -> None:
    assert everybody() == everybody()
    assert everybody() != everybody(8)
    restaurant = everybody()[0]
    day = restaurant.started_on
    assert uses_on(restaurant, day, seed=7) == uses_on(restaurant, day, seed=7)


def test_some_stop_on_every_day_that_one_looks_on() -> None:
    found = everybody()
    for day in (LIVE_ON + timedelta(days=n) for n in range(30)):
        stopping = [r for r in found if any(first == day for first, _ in r.breaks)]
        assert 0 < len(stopping) <= STOPS_FIRST_DAYS, day
        assert all(not uses_on(r, day, seed=7) for r in stopping)


def test_a_new_restaurant_completes_its_habit_on_each_of_the_first_days() -> None:
    begun = sorted(r.started_on + timedelta(days=HABIT_DAYS - 1) for r in everybody()[-NEW_COUNT:])
    assert begun == [LIVE_ON + timedelta(days=n) for n in range(NEW_COUNT)]


def test_closed_weekdays_holidays_and_new_year_are_without_use() -> None:
    resting = next(r for r in everybody() if r.rests_on_holidays)
    open_day = next(
        day for day in (LIVE_ON + timedelta(days=n) for n in range(30)) if uses_on(resting, day, seed=7)
    )
    assert uses_on(resting, open_day, seed=7, is_holiday=True) == ()
    assert uses_on(resting, date(2027, 1, 1), seed=7) == ()


def test_the_demo_s_own_configuration_is_right() -> None:
    assert list(demo_config().products) == ["reserve"]


def test_a_fast_clock_skips_and_repeats_nothing_when_its_rate_changes() -> None:
    base = ManualClock(datetime.fromisoformat("2026-03-02T00:00:00+00:00"))
    clock = FastClock(base, at_us=1_000, rate=0)
    base.advance(timedelta(seconds=5))
    assert clock.now_us() == 1_000
    clock.run_at(10)
    base.advance(timedelta(seconds=1))
    clock.run_at(2)
    base.advance(timedelta(seconds=1))
    assert clock.now_us() == 1_000 + 10_000_000 + 2_000_000
