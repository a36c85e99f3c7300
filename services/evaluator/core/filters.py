"""Which events a rule looks at: each distinct `when` is a filter, with one set of active days a customer."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.conditions import all_present_and_hold
from shared.config import When

EVERY_EVENT = "*"
_OR = "\x1f"
_WHERE = "\x1e"


def filter_of(when: When) -> str:
    """One name for each distinct `when`: its patterns, sorted, joined by an unprintable separator, and what
    it asks of properties."""
    patterns = (when.event,) if isinstance(when.event, str) else when.event
    names = EVERY_EVENT if EVERY_EVENT in patterns else _OR.join(sorted(set(patterns)))
    return names + (_WHERE + json.dumps(when.where, sort_keys=True) if when.where else "")


def passed_filters(filters: tuple[str, ...], event: str, properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of a product's filters an event passes, by its name and, where they ask, its properties."""
    named, asking = named_filters(filters, event)
    if not asking:
        return named
    return tuple(
        key for key in named if key not in asking or all_present_and_hold(_where_of(key), properties)
    )


@lru_cache(65_536)
def named_filters(filters: tuple[str, ...], event: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The filters that let an event of this name pass, and those of them that ask for its properties too."""
    named = tuple(key for key in filters if key == EVERY_EVENT or _pattern(key).fullmatch(event))
    return named, frozenset(filter(asks_for_properties, named))


def asks_for_properties(key: str) -> bool:
    """Whether a filter looks at more of an event than its name."""
    return _WHERE in key


@lru_cache(1024)
def _pattern(key: str) -> re.Pattern[str]:
    """Only `*` is a wildcard, for any run of characters."""
    names = key.partition(_WHERE)[0].split(_OR)
    return re.compile("|".join(".*".join(map(re.escape, name.split("*"))) for name in names), re.DOTALL)


@lru_cache(1024)
def _where_of(key: str) -> Mapping[str, Any]:
    """What a filter asks of properties; nothing where it asks for names alone."""
    asked = key.partition(_WHERE)[2]
    where: Mapping[str, Any] = json.loads(asked) if asked else {}
    return where
