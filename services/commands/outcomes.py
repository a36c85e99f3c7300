"""Who stayed and who left, from one column of the customers file; pure: profiles in, outcomes out."""

import difflib
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.ingest.customers import parse_day
from shared.errors import InvalidInput
from shared.events import Profile

SHOWN_VALUES_MAX = 4

_STAYED: Final = ("renewed", "stayed", "retained", "active", "kept", "継続", "更新")
_YES: Final = ("yes", "y", "true", "1", "はい")
_NO: Final = ("no", "n", "false", "0", "いいえ")
_SPEAKS_OF_STAYING: Final = ("renew", "stay", "retain", "active", "kept", "継続", "更新")
_SPEAKS_OF_LEAVING: Final = ("churn", "left", "leav", "cancel", "lost", "inactive", "解約", "離脱")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`known_on`: the ordinal of the day on which the customer left or was to renew; None: nobody told."""

    stayed: bool
    known_on: int | None


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes by customer id; how many customers have none; how the column was read, in words."""

    of: Mapping[str, Outcome]
    untold_count: int
    reading: str


def read_outcomes(profiles: Mapping[str, Profile], column: str, stayed: str | None = None) -> Outcomes:
    """Two values, of which `stayed` names the good one, or days on which customers left (empty: stayed).

    Raises InvalidInput where the column is missing, or is no outcome.
    """
    told = {id: text for id, profile in profiles.items() if (text := _text(profile.properties.get(column)))}
    if not told:
        raise InvalidInput(_nothing_in(column, profiles))
    left_on = {id: day for id, text in told.items() if (day := _day(text)) is not None}
    if len(left_on) == len(told):
        return _by_day(profiles, left_on, column)
    good = _good_value(column, Counter(told.values()), stayed)
    return Outcomes(
        of={id: _by_value(profiles[id], text == good) for id, text in told.items()},
        untold_count=len(profiles) - len(told),
        reading=f"stayed: {column} is {good}",
    )


def _by_day(profiles: Mapping[str, Profile], left_on: Mapping[str, int], column: str) -> Outcomes:
    if len(left_on) == len(profiles):
        raise InvalidInput(f"every customer has a day in {column!r}: nobody stayed, nothing to compare")
    of = {id: Outcome(stayed=id not in left_on, known_on=left_on.get(id)) for id in profiles}
    return Outcomes(of=of, untold_count=0, reading=f"left: on the day in {column}; stayed: none there")


def _by_value(profile: Profile, stayed: bool) -> Outcome:
    renewal_on = profile.renewal_on
    return Outcome(stayed=stayed, known_on=renewal_on.toordinal() if renewal_on else None)


def _good_value(column: str, counts: Counter[str], stayed: str | None) -> str:
    values = sorted(counts, key=lambda value: (-counts[value], value))
    if len(values) != 2:
        raise InvalidInput(_not_two(column, values, counts))
    if stayed is not None:
        if _text(stayed) not in values:
            raise InvalidInput(f"--stayed {stayed}: {column!r} has {values[0]} and {values[1]}")
        return _text(stayed)
    good = next((value for value in values if _means_staying(column, value)), None)
    if good is None:
        said = " or ".join(f"--stayed {value}" for value in values)
        raise InvalidInput(f"{column!r} has {values[0]} and {values[1]}: say which one means staying, {said}")
    return good


def _means_staying(column: str, value: str) -> bool:
    """A yes in `renewed`, a no in `churned`; a value that says it by itself says it in any column."""
    if value in _STAYED:
        return True
    name = column.casefold()
    if any(word in name for word in _SPEAKS_OF_LEAVING):
        return value in _NO
    return value in _YES and any(word in name for word in _SPEAKS_OF_STAYING)


def _not_two(column: str, values: list[str], counts: Counter[str]) -> str:
    if len(values) == 1:
        return (
            f"{column!r} is {values[0]} for all {counts.total():,} customers that have it: nothing to compare"
        )
    shown = ", ".join(values[:SHOWN_VALUES_MAX]) + (", ..." if len(values) > SHOWN_VALUES_MAX else "")
    return (
        f"{column!r} has {len(values)} values ({shown}): "
        "an outcome has two, or is the day on which a customer left"
    )


def _nothing_in(column: str, profiles: Mapping[str, Profile]) -> str:
    if not profiles:
        return "there are no customers in the customers file"
    names = sorted({name for profile in profiles.values() for name in profile.properties})
    close = difflib.get_close_matches(column, names, n=1)
    hint = f"is {close[0]!r} meant?" if close else f"there are {', '.join(names) or 'no columns of your own'}"
    return f"no customer has anything in a column {column!r}; {hint}"


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold()


def _day(text: str) -> int | None:
    try:
        return parse_day(text).toordinal()
    except ValueError:
        return None
