"""Expected days: closed weekdays, holidays, closures, pauses, across the seams of eras."""

from datetime import date

from services.evaluator.core.expected import ERA_DAYS, calendar_days, is_expected, public_holidays
from services.evaluator.core.rules import Settings


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


PLAIN = Settings(zone="Asia/Tokyo", day_starts=0)


def test_every_day_is_expected_by_a_plain_calendar() -> None:
    assert calendar_days(PLAIN, day("2026-01-01"), 400) == (1 << 400) - 1


def test_closed_weekdays_are_not_expected() -> None:
    settings = Settings(zone="Asia/Tokyo", day_starts=0, closed_weekdays=0b1)
    assert not is_expected(settings, day("2026-03-02"))  # a Monday
    assert is_expected(settings, day("2026-03-03"))


def test_public_holidays_follow_the_country_and_its_part() -> None:
    japan = Settings(zone="Asia/Tokyo", day_starts=0, holidays="JP")
    assert not is_expected(japan, day("2026-05-04"))  # Greenery Day
    assert is_expected(japan, day("2026-05-07"))
    california = Settings(zone="America/Los_Angeles", day_starts=0, holidays="US-CA")
    assert not is_expected(california, day("2026-03-31"))  # Cesar Chavez Day
    assert is_expected(Settings(zone="America/Denver", day_starts=0, holidays="US"), day("2026-03-31"))


def test_closures_include_both_ends() -> None:
    settings = Settings(zone="Asia/Tokyo", day_starts=0, closures=((day("2026-08-13"), day("2026-08-16")),))
    expected = [is_expected(settings, day("2026-08-12") + i) for i in range(6)]
    assert expected == [True, False, False, False, False, True]


def test_an_open_pause_never_ends() -> None:
    settings = Settings(zone="Asia/Tokyo", day_starts=0, pause=(day("2026-08-13"), None))
    assert is_expected(settings, day("2026-08-12"))
    assert calendar_days(settings, day("2026-08-13"), 3000) == 0


def test_a_day_that_never_was_is_not_expected() -> None:
    assert not is_expected(Settings(zone="Pacific/Apia", day_starts=0), day("2011-12-30"))


def test_a_slice_over_eras_is_the_sum_of_its_days() -> None:
    settings = Settings(zone="Asia/Tokyo", day_starts=0, closed_weekdays=0b1000001, holidays="JP")
    base = (day("2026-01-01") // ERA_DAYS) * ERA_DAYS - 100
    sliced = calendar_days(settings, base, ERA_DAYS + 300)
    assert sliced == sum(1 << i for i in range(ERA_DAYS + 300) if is_expected(settings, base + i))


def test_no_country_has_no_holidays() -> None:
    assert public_holidays("", day("2026-01-01"), 365) == 0
