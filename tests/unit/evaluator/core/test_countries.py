"""The country of a zone, for the evidence of its holidays."""

from services.evaluator.core.countries import country_of_zone
from services.evaluator.core.expected import public_holidays
from tests.unit.evaluator.told import LITERAL, Diary, day, days_of, product


def test_a_zone_names_its_country() -> None:
    assert country_of_zone("Asia/Tokyo") == "JP"
    assert country_of_zone("Europe/London") == "GB"
    assert country_of_zone("UTC") == ""


def test_a_country_without_known_holidays_has_none() -> None:
    assert public_holidays("AQ", day("2026-01-01"), 365) >= 0
    assert public_holidays("ZZ", day("2026-01-01"), 365) == 0


def surprise_on(missed: str, **calendar: object) -> float:
    diary = Diary(product(rules={"stop": LITERAL}, calendar={"learn_closed_weekdays": False, **calendar}))
    diary.uses(days_of("2026-01-05", "2026-05-05", but=[missed]))
    diary.tick("2026-05-06T00:16")
    (told,) = [t for t in diary.told if t.type == "usage.stopped"]
    assert told.data.surprise is not None
    return told.data.surprise


def test_a_missed_public_holiday_surprises_less_though_no_country_is_named() -> None:
    assert surprise_on("2026-05-04") < surprise_on("2026-04-27")  # both Mondays; the first Greenery Day
