"""A habit: so many events, or active days, within the first days of a customer. Values and their words."""

from typing import Final, Literal

import msgspec

WINDOWS_DAYS: Final = (7, 14, 28, 60, 90)
"""The first days that are looked at, from the anchor."""

EVERY_EVENT: Final = "*"

Counting = Literal["events", "active_days"]
Anchor = Literal["first_active_on", "contract_started_on"]


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """At least `at_least` events or active days within `within_days` usage days, the first one included."""

    event: str
    counting: Counting
    within_days: int
    at_least: int

    def words(self) -> str:
        """`scout.sent 9+ times in the first 28 days`; `active on 20+ of the first 28 days`."""
        first = f"the first {self.within_days} days"
        if self.counting == "events":
            what = "any event" if self.event == EVERY_EVENT else self.event
            return f"{what} {self.at_least}+ times in {first}"
        what = "active" if self.event == EVERY_EVENT else self.event
        return f"{what} on {self.at_least}+ of {first}"
