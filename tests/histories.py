"""Writes logs of one customer: by hand, a line an entry, and (further down) drawn from a seed."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.clock import to_us
from shared.config import ProductSection
from shared.events import Calendar, CustomerErased, DayExcused, Event, Message, Profile, ProfileChanged, Tick
from tests.oracle.log import Entry

PRODUCT = "reserve"
CUSTOMER = "c-17"


def section(rules: Mapping[str, Mapping[str, Any]], **settings: Any) -> ProductSection:
    """A product with these rules; nothing learned and the calendar read literally unless told otherwise."""
    told = {"calendar": {"learn_closed_weekdays": False}, **settings}
    literal = {
        name: {"expect": "calendar", **rule} if rule["kind"] == "absence" else rule
        for name, rule in rules.items()
    }
    return ProductSection.model_validate({**told, "rules": literal})


class Story:
    """A log written entry by entry; local times are read in `zone`, an entry is appended when it happens."""

    def __init__(self, zone: str = "UTC") -> None:
        self.zone = ZoneInfo(zone)
        self.entries: list[Entry] = []

    def us(self, at: str) -> int:
        """`2026-03-02 05:00`, local unless it ends in Z, in microseconds."""
        if at.endswith("Z"):
            return to_us(datetime.fromisoformat(at))
        return to_us(datetime.fromisoformat(at).replace(tzinfo=self.zone))

    def use(
        self, at: str, *, read: str | None = None, event: str = "used", backfill: bool = False, id: str = ""
    ) -> "Story":
        """The customer used the product at `at`, and the log got to know at `read`."""
        occurred_us = self.us(at)
        appended_us = self.us(read or at)
        return self._add(
            appended_us,
            Event(
                product=PRODUCT,
                customer_id=CUSTOMER,
                event_id=id or f"{at}/{event}",
                event=event,
                occurred_us=occurred_us,
                received_us=appended_us,
                backfill=backfill,
            ),
        )

    def use_on(self, day: str, *, read: str, backfill: bool = False) -> "Story":
        """The customer used the product on a day of which no hour is known."""
        return self._add(
            self.us(read),
            Event(
                product=PRODUCT,
                customer_id=CUSTOMER,
                event_id=day,
                occurred_on=date.fromisoformat(day),
                received_us=self.us(read),
                backfill=backfill,
            ),
        )

    def daily(self, first: str, last: str, *, hour: str = "12:00", ticks: bool = True) -> "Story":
        """Use at the same hour of every day from `first` to `last`, with a tick an hour after each."""
        day, until = date.fromisoformat(first), date.fromisoformat(last)
        while day <= until:
            self.use(f"{day} {hour}")
            if ticks:
                self.tick_us(self.us(f"{day} {hour}") + 3_600_000_000)
            day += timedelta(days=1)
        return self

    def tick(self, at: str) -> "Story":
        return self.tick_us(self.us(at))

    def tick_us(self, us: int) -> "Story":
        return self._add(us, Tick(at_us=us))

    def profile(self, at: str, *, merge: bool = False, **fields: Any) -> "Story":
        """The customer's profile is told; `calendar` as keyword arguments of `Calendar`."""
        if "calendar" in fields:
            fields["calendar"] = Calendar(**fields["calendar"])
        profile = Profile(**fields)
        us = self.us(at)
        return self._add(
            us,
            ProfileChanged(
                product=PRODUCT, customer_id=CUSTOMER, profile=profile, received_us=us, merge=merge
            ),
        )

    def excuse(self, day: str, *, read: str) -> "Story":
        us = self.us(read)
        return self._add(us, DayExcused(product=PRODUCT, day=date.fromisoformat(day), received_us=us))

    def erase(self, at: str) -> "Story":
        us = self.us(at)
        return self._add(us, CustomerErased(product=PRODUCT, customer_id=CUSTOMER, received_us=us))

    def rules(self, at: str, changed: ProductSection) -> "Story":
        """The service is started again with other rules."""
        self.entries.append(Entry(self.us(at), changed))
        return self

    def _add(self, us: int, message: Message) -> "Story":
        self.entries.append(Entry(us, message))
        return self


def utc(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, tz=UTC)
