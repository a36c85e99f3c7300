"""What a fact has to be, and what is refused because no fact could be it."""

from typing import Any

import pytest

from shared.conditions import all_present_and_hold, check_condition, holds


@pytest.mark.parametrize(
    ("want", "fact", "is_met"),
    [
        ("gold", "gold", True),
        ("gold", "silver", False),
        (["gold", "silver"], "silver", True),
        (4, "4", True),
        ("4", 4, True),
        (True, "true", True),
        (True, 1, False),
        (1, True, False),
        ({"at_least": 2}, 2, True),
        ({"at_least": 2}, "2.5", True),
        ({"at_least": 2}, "two", False),
        ({"at_least": 2}, True, False),
        ({"at_least": 2}, [3], False),
        ({"at_least": 2}, 10**400, False),
        ({"below": 2}, 2, False),
        ({"below": 10**400}, 2, True),
        ([{"below": 2}, {"at_least": 9}], 9, True),
        ({"at_least": 2, "below": 4}, 3, True),
        ({"not": "test"}, "live", True),
        ({"not": ["test", "demo"]}, "demo", False),
        ("gold", {"gold": 1}, False),
    ],
)
def test_what_does_not_compare_does_not_hold(want: Any, fact: Any, is_met: bool) -> None:
    assert holds(want, fact) is is_met


def test_nothing_is_said_of_a_property_that_is_missing_or_null() -> None:
    assert not all_present_and_hold({"channel": {"not": "test"}}, {})
    assert not all_present_and_hold({"channel": {"not": "test"}}, {"channel": None})
    assert all_present_and_hold({"channel": {"not": "test"}}, {"channel": "web"})
    assert not all_present_and_hold({"channel": "web", "seats": 2}, {"channel": "web"})


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"seats": {"atleast": 2}}, "seats: 'atleast' is none of at_least below not"),
        ({"seats": {"at_least": "two"}}, "seats: at_least takes a number"),
        ({"seats": {"at_least": 5, "below": 5}}, "this could never hold"),
        ({"plan": []}, "this could never hold"),
        ({"plan": {"not": []}}, "an empty list names nothing"),
        ({"plan": {}}, "plan: nothing is asked of it"),
        ({"seats": [1, {"atleast": 2}]}, "seats: 'atleast' is none of at_least below not"),
        ({"seats": {"not": {"below": "two"}}}, "seats: below takes a number"),
    ],
)
def test_what_could_never_hold_is_refused(where: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_condition(where)
