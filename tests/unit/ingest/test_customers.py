"""Profiles: each field checked, every error naming its field."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.customers import parse_profile
from shared.errors import InvalidInput
from shared.events import Calendar, Profile

ALL_WEEK = "mon tue wed thu fri sat sun"
WHOLE = {
    "name": "さくら",
    "time_zone": "Asia/Tokyo",
    "day_starts_at": "05:00",
    "calendar": {
        "closed_weekdays": ["mon", "tue"],
        "holidays": "JP",
        "closures": [["2026-08-11", "2026-08-16"]],
        "pause": ["2026-09-01", None],
        "learn_closed_weekdays": False,
    },
    "csm": "csm-1",
    "segment": "high-touch",
    "phone": "+81-3-1234-5678",
    "contact_window": "14:00-17:00",
    "contract_started_on": "2026-01-20",
    "mrr": 12000,
    "renewal_on": "2027-01-20",
    "properties": {"seats": 40},
}


def refusal(fields: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_profile(fields)
    return caught.value.message


def test_a_whole_profile_comes_through() -> None:
    assert parse_profile(WHOLE) == Profile(
        name="さくら",
        time_zone="Asia/Tokyo",
        day_starts_at="05:00",
        calendar=Calendar(
            closed_weekdays=(0, 1),
            holidays="JP",
            closures=((date(2026, 8, 11), date(2026, 8, 16)),),
            pause=(date(2026, 9, 1), None),
            learn_closed_weekdays=False,
        ),
        csm="csm-1",
        segment="high-touch",
        phone="+81-3-1234-5678",
        contact_window="14:00-17:00",
        contract_started_on=date(2026, 1, 20),
        mrr=12000.0,
        renewal_on=date(2027, 1, 20),
        properties={"seats": 40},
    )


def test_an_empty_profile_tells_nothing() -> None:
    assert parse_profile({}) == Profile()


def test_calendar_fields_may_stand_flat() -> None:
    flat = {**WHOLE, **WHOLE["calendar"]}  # type: ignore[dict-item]
    del flat["calendar"]
    assert parse_profile(flat) == parse_profile(WHOLE)


def test_calendar_fields_in_two_places_are_refused() -> None:
    assert "closed_weekdays" in refusal({"calendar": {}, "closed_weekdays": "mon"})


def test_no_closed_weekdays_is_not_the_same_as_not_told() -> None:
    assert parse_profile({"closed_weekdays": []}).calendar.closed_weekdays == ()
    assert parse_profile({"closed_weekdays": "mon tue"}).calendar.closed_weekdays == (0, 1)


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ({"from": "2026-09-01", "until": "2026-09-05"}, (date(2026, 9, 1), date(2026, 9, 5))),
        ({"from": "2026-09-01"}, (date(2026, 9, 1), None)),
        ("2026-09-01/2026-09-05", (date(2026, 9, 1), date(2026, 9, 5))),
        ("2026-09-01..", (date(2026, 9, 1), None)),
        (None, None),
    ],
)
def test_a_pause_is_written_as_an_object_or_a_period(value: object, pause: object) -> None:
    assert parse_profile({"pause": value}).calendar.pause == pause


def test_closures_may_be_one_text_of_periods_and_days() -> None:
    assert parse_profile({"closures": "2026-08-11/2026-08-16, 2026-12-31"}).calendar.closures == (
        (date(2026, 8, 11), date(2026, 8, 16)),
        (date(2026, 12, 31), date(2026, 12, 31)),
    )


@pytest.mark.parametrize("text", ["2026-01-20", "2026/1/20", "2026/01/20", " 2026-01-20 "])
def test_days_are_read_as_spreadsheets_write_them(text: str) -> None:
    assert parse_profile({"contract_started_on": text}).contract_started_on == date(2026, 1, 20)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"time_zone": "Asia/Edo"}, "time_zone: 'Asia/Edo' is no IANA time zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone: "),
        ({"timezone": "Asia/Tokyo"}, "unknown field 'timezone'"),
        ({"calendar": {"holiday": "JP"}}, "unknown field 'calendar.holiday'"),
        ({"holidays": "XX"}, "holidays: "),
        ({"closed_weekdays": "mon funday"}, "closed_weekdays: 'funday' is no weekday"),
        ({"closed_weekdays": ALL_WEEK}, "closed_weekdays: every weekday is closed"),
        ({"calendar": {"closed_weekdays": list(range(7))}}, "calendar.closed_weekdays: every weekday"),
        ({"day_starts_at": "5:00"}, "day_starts_at: "),
        ({"day_starts_at": "25:00"}, "day_starts_at: "),
        ({"contact_window": "14:00"}, "contact_window: "),
        ({"contact_window": "14:00-14:00"}, "contact_window: "),
        ({"contract_started_on": "2026-02-30"}, "contract_started_on: a day is written 2026-03-02"),
        ({"contract_started_on": 20260120}, "contract_started_on: "),
        ({"renewal_on": "soon"}, "renewal_on: "),
        ({"mrr": "much"}, "mrr: "),
        ({"mrr": float("nan")}, "mrr: "),
        ({"mrr": float("inf")}, "mrr: "),
        ({"name": ""}, "name: "),
        ({"name": "a\nb"}, "name: "),
        ({"name": "a" * 201}, "name: "),
        ({"closures": [["2026-08-16", "2026-08-11"]]}, "closures.0: it ends before it starts"),
        ({"closures": "2026-08-11/"}, "closures.0"),
        ({"closures": "someday"}, "closures.0"),
        ({"closures": ["2026-08-11"] * 401}, "closures: "),
        ({"pause": {"until": "2026-09-01"}}, "pause: "),
        ({"pause": "2026-09-05/2026-09-01"}, "pause: it ends before it starts"),
        ({"properties": []}, "properties: "),
    ],
)
def test_what_is_wrong_is_told_with_its_field(fields: dict[str, Any], said: str) -> None:
    assert refusal(fields).startswith(said)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*WHOLE, *WHOLE["calendar"], "other"])  # type: ignore[misc]


@given(fields=st.dictionaries(FIELDS, ANY))
def test_any_fields_make_a_profile_or_one_line_of_refusal(fields: dict[str, Any]) -> None:
    try:
        profile = parse_profile(fields)
    except InvalidInput as error:
        assert error.message.splitlines() == [error.message]  # noqa: PT017
    else:
        assert set(fields) <= {*WHOLE, *WHOLE["calendar"]}  # type: ignore[misc]
        assert isinstance(profile, Profile)
