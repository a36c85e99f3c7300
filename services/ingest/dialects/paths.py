"""Which field of a foreign event names the customer: a list of paths, the first that is filled wins. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

USER_PATHS = ("userId", "distinct_id")
"""These name the person. As a last resort the person is the customer."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """The value that names the customer, and the path at which it stands."""

    value: object
    path: str

    @property
    def is_user(self) -> bool:
        """Whether the event names nobody but the person who did it."""
        return self.path in USER_PATHS


class Path(msgspec.Struct, frozen=True):
    """A path taken apart: the field of the item, and the steps from there on."""

    text: str
    field: str
    steps: tuple[str, ...]


def take_apart(paths: Sequence[str]) -> tuple[Path, ...]:
    """Paths as the configuration writes them, ready to be followed into one item after the other."""
    parts = ((path, *path.split(".")) for path in paths)
    return tuple(Path(text, field, tuple(steps)) for text, field, *steps in parts)


def find_customer(item: Mapping[str, Any], paths: Sequence[Path]) -> Found | None:
    """The first of `paths` that is filled in `item`; a step `*` takes whatever comes first."""
    for path in paths:
        value = item.get(path.field)
        if value is None:
            continue  # As most are: not a step further.
        if path.steps:
            value = follow(value, path.steps)
        if value is not None and value != "":
            return Found(value, path.text)
    return None


def follow(value: Any, steps: Sequence[str]) -> Any:
    """What stands at the end of `steps` into a value; None where they lead nowhere."""
    for step in steps:
        if value.__class__ is not dict:
            return None
        value = next(iter(value.values()), None) if step == "*" else value.get(step)
    return value
