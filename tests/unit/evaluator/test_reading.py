"""What the API tells of a customer."""

from services.evaluator import reading
from tests.unit.evaluator.told import LITERAL, Diary, day, days_of, product

RULES = {"onboarding": {"kind": "streak", "days": 28}, "usage-stopped": LITERAL}


def read() -> Diary:
    diary = Diary(product(rules=RULES, calendar={"learn_closed_weekdays": False, "closed_weekdays": ["mon"]}))
    diary.uses(days_of("2026-03-03", "2026-03-08"))
    return diary


def test_each_day_is_active_or_not_and_expected_or_not() -> None:
    diary = read()
    assert diary.state is not None
    days = reading.days_between(diary.state, first=day("2026-03-02"), last=day("2026-03-10"))
    assert days[0] == {"day": "2026-03-02", "active": False, "expected": False}  # before the first use
    assert days[6] == {"day": "2026-03-08", "active": True, "expected": True}
    assert days[7] == {"day": "2026-03-09", "active": False, "expected": False}  # a Monday
    assert days[8] == {"day": "2026-03-10", "active": False, "expected": True}


def streak_on(diary: Diary, today: str) -> int:
    assert diary.state is not None
    (streak,) = reading.streaks(diary.state, diary.product, today=day(today))
    length = streak["length"]
    assert isinstance(length, int)
    return length


def test_a_streak_lasts_through_closed_days_and_through_a_today_that_is_not_over() -> None:
    diary = read()
    assert streak_on(diary, "2026-03-08") == 6
    assert streak_on(diary, "2026-03-10") == 6  # Monday was closed, Tuesday is not over
    assert streak_on(diary, "2026-03-11") == 0  # Tuesday was missed


def test_today_is_the_customers_own_day() -> None:
    diary = read()
    assert diary.state is not None
    assert reading.today(diary.state, diary.us("2026-03-08T23:59")) == day("2026-03-08")
    assert reading.today(diary.state, diary.us("2026-03-09T00:00")) == day("2026-03-09")


def test_the_profile_names_the_zone_in_force() -> None:
    diary = read()
    diary.profile("2026-03-08T12:00", name="鮨 山本")
    assert diary.state is not None
    view = reading.profile_view(diary.state)
    assert (view["name"], view["time_zone"]) == ("鮨 山本", "Asia/Tokyo")
