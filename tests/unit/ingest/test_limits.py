"""The checks on ids, names, depth and time."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.limits import (
    NESTING_MAX,
    Terms,
    check_day,
    check_id,
    check_instant,
    check_name,
    check_nesting,
    instant_us,
)
from shared.clock import to_us
from shared.errors import InvalidInput

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WINDOW = timedelta(days=35)


def terms(*, backfill: bool = False) -> Terms:
    return Terms(
        product="reserve",
        now_us=to_us(NOW),
        late_window_us=WINDOW // timedelta(microseconds=1),
        backfill=backfill,
    )


def code_of_instant(at: datetime, *, backfill: bool = False) -> str | None:
    try:
        check_instant(to_us(at), terms(backfill=backfill))
    except InvalidInput as error:
        return error.code
    return None


def code_of_day(day: date, *, backfill: bool = False) -> str | None:
    try:
        check_day(day, terms(backfill=backfill))
    except InvalidInput as error:
        return error.code
    return None


def test_a_number_is_an_id_by_its_digits() -> None:
    assert check_id(17, "customer_id") == "17"


@pytest.mark.parametrize("value", [True, None, 1.5, ["c"], {"id": 1}])
def test_other_values_are_no_id(value: object) -> None:
    with pytest.raises(InvalidInput, match="customer_id is text or a whole number"):
        check_id(value, "customer_id")


def test_blanks_around_a_name_go() -> None:
    assert check_name("  c-17 　", "customer_id") == "c-17"


@pytest.mark.parametrize("name", ["株式会社　東京", "c-17", "a" * 200, "é\u200d👩‍🍳"])
def test_names_of_every_script_are_taken(name: str) -> None:
    assert check_name(name, "name") == name


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\x00b", "a\nb", "a\x7fb", "a\u2028b", "a\ud800b"])
def test_empty_long_and_control_characters_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        check_name(name, "name")


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW, None),
        (NOW + timedelta(minutes=5), None),
        (NOW + timedelta(minutes=5, microseconds=1), "in_future"),
        (datetime(2199, 1, 1, tzinfo=UTC), "in_future"),
        (NOW - WINDOW, None),
        (NOW - WINDOW - timedelta(microseconds=1), "too_old"),
    ],
)
def test_an_instant_lies_in_the_late_window_and_not_in_the_future(at: datetime, code: str | None) -> None:
    assert code_of_instant(at) == code


def test_history_is_never_too_late_but_has_a_beginning() -> None:
    assert code_of_instant(datetime(2001, 1, 1, tzinfo=UTC), backfill=True) is None
    assert code_of_instant(datetime(1999, 12, 31, tzinfo=UTC), backfill=True) == "too_old"
    assert code_of_instant(datetime(2199, 1, 1, tzinfo=UTC), backfill=True) == "in_future"


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (date(2026, 3, 2), None),
        # At 09:00Z it is 23:00 on Kiritimati (+14), so not yet the third anywhere.
        (date(2026, 3, 3), "in_future"),
        (date(2199, 1, 1), "in_future"),
        (date(2026, 1, 26), None),
        (date(2026, 1, 20), "too_old"),
        (date.max, "in_future"),
        (date.min, "too_old"),
    ],
)
def test_a_day_is_judged_in_favour_of_the_sender(day: date, code: str | None) -> None:
    assert code_of_day(day) == code


@given(
    day=st.dates(date(2025, 12, 1), date(2026, 4, 1)),
    minute=st.integers(0, 24 * 60 - 1),
    offset=st.integers(-12 * 60, 14 * 60),
    starts=st.integers(0, 24 * 60 - 1),
)
def test_no_day_is_refused_that_has_an_instant_within_the_window(
    day: date, minute: int, offset: int, starts: int
) -> None:
    zone = timezone(timedelta(minutes=offset))
    at = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=starts + minute)
    if code_of_instant(at) is None:
        assert code_of_day(day) is None


def test_a_time_without_an_offset_names_no_instant() -> None:
    with pytest.raises(InvalidInput, match="offset"):
        instant_us(datetime(2026, 3, 2, 18, 30))  # noqa: DTZ001


@given(at=st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_exact_to_the_microsecond(at: datetime) -> None:
    assert instant_us(at) == to_us(at)


def test_the_first_instant_of_the_easternmost_zone_is_no_overflow() -> None:
    assert instant_us(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))) < 0


@pytest.mark.parametrize("levels", [1, 2, NESTING_MAX])
def test_properties_may_be_nested(levels: int) -> None:
    check_nesting(nested(levels))


def test_one_level_too_many_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nested"):
        check_nesting(nested(NESTING_MAX + 1))


def nested(levels: int) -> dict[str, object]:
    """An object in a list in an object and so on: `levels` of them."""
    value: object = {} if levels % 2 else []
    for level in range(levels - 1, 0, -1):
        value = {"a": value} if level % 2 else [value]
    assert isinstance(value, dict)
    return value
