"""How a column of the customers file is read as who stayed and who left."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from services.commands.outcomes import Outcome, read_outcomes
from shared.errors import InvalidInput
from shared.events import Profile


def profiles(column: str, values: Mapping[str, Any], renewal_on: date | None = None) -> dict[str, Profile]:
    return {
        id: Profile(properties={} if value is None else {column: value}, renewal_on=renewal_on)
        for id, value in values.items()
    }


@pytest.mark.parametrize(
    ("column", "stayed", "left"),
    [
        ("renewed", "yes", "no"),
        ("renewed", "1", "0"),
        ("renewed", True, False),
        ("churned", "no", "yes"),
        ("is_churned", "FALSE", "TRUE"),
        ("status", "Active", "Churned"),
        ("結果", "継続", "解約"),
    ],
)
def test_two_values_are_read_by_what_they_and_the_column_say(
    column: str, stayed: object, left: object
) -> None:
    found = read_outcomes(profiles(column, {"a": stayed, "b": left, "c": None}), column)
    assert {id: outcome.stayed for id, outcome in found.of.items()} == {"a": True, "b": False}
    assert found.untold_count == 1


def test_who_is_not_understood_is_asked_and_an_answer_is_taken() -> None:
    given = profiles("plan", {"a": "gold", "b": "none"})
    with pytest.raises(InvalidInput, match="say which one means staying, --stayed gold or --stayed none"):
        read_outcomes(given, "plan")
    assert read_outcomes(given, "plan", "Gold").of["a"].stayed
    with pytest.raises(InvalidInput, match="--stayed silver: 'plan' has gold and none"):
        read_outcomes(given, "plan", "silver")


def test_a_column_of_days_says_when_customers_left() -> None:
    found = read_outcomes(
        profiles("churned_on", {"a": "2026-03-02", "b": None, "c": "2026/3/2"}), "churned_on"
    )
    left = Outcome(stayed=False, known_on=date(2026, 3, 2).toordinal())
    assert found.of == {"a": left, "b": Outcome(stayed=True, known_on=None), "c": left}


def test_the_outcome_is_known_on_the_day_of_renewal() -> None:
    found = read_outcomes(profiles("renewed", {"a": "yes", "b": "no"}, date(2026, 4, 1)), "renewed")
    assert {outcome.known_on for outcome in found.of.values()} == {date(2026, 4, 1).toordinal()}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": "yes", "b": "no", "c": "maybe"}, "has 3 values .*: an outcome has two, or is the day"),
        ({"a": "yes", "b": "yes"}, "'renewed' is yes for all 2 customers that have it: nothing to compare"),
        ({"a": "2026-01-01", "b": "2026-01-02"}, "nobody stayed, nothing to compare"),
        ({"a": None}, "no customer has anything in a column 'renewed'"),
        ({}, "there are no customers in the customers file"),
    ],
)
def test_what_is_no_outcome_is_refused_with_the_reason(values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_outcomes(profiles("renewed", values), "renewed")


def test_a_column_written_wrongly_is_hinted_at() -> None:
    with pytest.raises(InvalidInput, match="is 'renewed' meant"):
        read_outcomes(profiles("renewed", {"a": "yes", "b": "no"}), "renewd")
