"""How much the properties try: little by default, more by `UT_HISTORIES=20000`."""

import os

HISTORIES = int(os.environ.get("UT_HISTORIES", "0"))
"""How many histories were asked for; 0 where nobody asked."""


def seeds(default: int, *, share: float = 1.0) -> range:
    """The seeds of one property: its own default, or its share of what was asked for."""
    return range(max(default, int(HISTORIES * share)) if HISTORIES else default)
