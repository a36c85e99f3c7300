"""Which country a time zone lies in, from the zone data's own table: evidence of holidays, never a rule.

A product that names no country has its customers judged by the holidays of their zone's country all the
same, where use is weighed by history; the calendar itself closes no day for it.
"""

from functools import cache
from importlib.resources import files


def country_of_zone(zone: str) -> str:
    """ISO 3166 code of the country of an IANA zone; "" for a zone that lies in none (UTC, aliases)."""
    return _table().get(zone, "")


@cache
def _table() -> dict[str, str]:
    text = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
