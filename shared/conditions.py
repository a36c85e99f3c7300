"""The small language of `if` and `where`: what a fact has to be.

plan: gold                      equals
plan: [gold, platinum]          is one of these
seats: {at_least: 5}            a number, or text that reads as one
seats: {below: 50}
channel: {not: test}
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

CONDITION_OPERATORS = ("at_least", "below", "not")


def check_condition(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuses, with a ValueError, an operator that does not exist, and what no fact could ever meet."""
    for name, want in value.items():
        _check(name, want)
    return value


def _check(name: str, want: Any) -> None:
    if isinstance(want, list | tuple):
        if not want:
            raise ValueError(f"{name}: an empty list names nothing, so this could never hold")
        for one in want:
            _check(name, one)
    elif isinstance(want, Mapping):
        _check_operators(name, want)


def _check_operators(name: str, want: Mapping[str, Any]) -> None:
    if not want:
        raise ValueError(f"{name}: nothing is asked of it; use {' '.join(CONDITION_OPERATORS)}")
    for operator, bound in want.items():
        if operator not in CONDITION_OPERATORS:
            raise ValueError(f"{name}: {operator!r} is none of {' '.join(CONDITION_OPERATORS)}")
        if operator == "not":
            _check(name, bound)
        elif isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ValueError(f"{name}: {operator} takes a number")
    if "at_least" in want and "below" in want and want["below"] <= want["at_least"]:
        raise ValueError(
            f"{name}: nothing is at least {want['at_least']} and below {want['below']}; this could never hold"
        )


Condition = Annotated[Mapping[str, Any], AfterValidator(check_condition)]


def holds(want: Any, fact: Any) -> bool:
    """Whether a fact is what is wanted; what does not compare does not hold. Raises nothing."""
    if isinstance(want, Mapping):
        return all(_compares(operator, bound, fact) for operator, bound in want.items())
    if isinstance(want, list | tuple):
        return any(holds(one, fact) for one in want)
    if isinstance(want, bool) or isinstance(fact, bool):
        return str(want).lower() == str(fact).lower()
    # A file has text where a JSON event has a number, and both mean the same.
    return bool(want == fact) or (want is not None and fact is not None and str(want) == str(fact))


def all_present_and_hold(where: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether every fact that is asked for is there, and is what is wanted."""
    return all(facts.get(name) is not None and holds(want, facts[name]) for name, want in where.items())


def _compares(operator: str, bound: Any, fact: Any) -> bool:
    if operator == "not":
        return not holds(bound, fact)
    number = _number(fact)
    if number is None:
        return False
    return bool(number >= bound if operator == "at_least" else number < bound)


def _number(fact: Any) -> float | None:
    try:
        return None if isinstance(fact, bool) else float(fact)
    except (TypeError, ValueError, OverflowError):
        return None
