"""Whether an event counts for a rule: its name, and what `where` asks of its properties, read anew each time.

Readings where the pages leave it open: a property that is missing, or null, meets nothing, not even `not`;
text that reads as a number is that number; a truth value is its word; what does not compare does not match.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from shared.config import When
from shared.events import Event


def key_of(when: When) -> str:
    """One name for rules that look at the same events."""
    patterns = (when.event,) if isinstance(when.event, str) else when.event
    return f"{'*' if '*' in patterns else sorted(set(patterns))} {sorted(when.where.items())}"


EVERY = key_of(When())


def matches(when: When, event: Event) -> bool:
    """`*` stands for any run of characters, and nothing else does."""
    patterns = (when.event,) if isinstance(when.event, str) else when.event
    escaped = [pattern.replace("[", "[[]").replace("?", "[?]") for pattern in patterns]
    if not any(fnmatchcase(event.event, pattern) for pattern in escaped):
        return False
    for name, want in when.where.items():
        fact = event.properties.get(name)
        if fact is None or not _meets(want, fact):
            return False
    return True


def _meets(want: Any, fact: Any) -> bool:
    if isinstance(want, list):
        return any(_equal(one, fact) for one in want)
    if not isinstance(want, Mapping):
        return _equal(want, fact)
    for operator, bound in want.items():
        if operator == "not":
            met = not _meets(bound, fact)
        else:
            number = _number(fact)
            met = number is not None and (number >= bound if operator == "at_least" else number < bound)
        if not met:
            return False
    return True


def _equal(want: Any, fact: Any) -> bool:
    if _number(want) is not None and _number(want) == _number(fact) and str(want) == str(fact):
        return True
    if isinstance(want, int | float) and isinstance(fact, int | float):
        return want == fact and isinstance(want, bool) == isinstance(fact, bool)
    return str(want).lower() == str(fact).lower() if isinstance(want, bool) else str(want) == str(fact)


def _number(fact: Any) -> float | None:
    if isinstance(fact, bool):
        return None
    try:
        return float(fact)
    except (TypeError, ValueError):
        return None
