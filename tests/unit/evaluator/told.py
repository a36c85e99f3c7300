"""A customer driven through the core by local times, so that a test reads like a diary."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.evaluator import engine
from services.evaluator.core.rules import Product, compile_product
from services.evaluator.core.state import CustomerState, decode_state, encode_state
from shared.clock import to_us
from shared.config import ProductSection
from shared.events import Calendar, Event, Profile, ProfileChanged
from shared.triggers import Trigger

LITERAL = {"kind": "absence", "expect": "calendar"}
PLAIN_CALENDAR = {"learn_closed_weekdays": False}


def product(*, zone: str = "Asia/Tokyo", calendar: dict[str, Any] | None = None, **section: Any) -> Product:
    """A product whose calendar learns nothing unless told otherwise."""
    raw = {"time_zone": zone, "calendar": PLAIN_CALENDAR if calendar is None else calendar, **section}
    return compile_product("reserve", ProductSection.model_validate(raw))


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


class Diary:
    """Feeds local times of one zone to the core and keeps what it told."""

    def __init__(self, rules_of: Product, *, zone: str = "Asia/Tokyo") -> None:
        self.product = rules_of
        self.zone = zone
        self.state: CustomerState | None = None
        self.watermark_us = 0
        self.excused: frozenset[int] = frozenset()
        self.told: list[Trigger] = []
        self.rejected: list[str] = []

    def us(self, local: str) -> int:
        return to_us(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(self.zone)))

    def use(
        self,
        occurred: str,
        *,
        read: str | None = None,
        event: str = "used",
        backfill: bool = False,
        id: str = "",
        **properties: Any,
    ) -> None:
        """A use at a local time, read at once or later; a bare date is a use known by its day."""
        by_day = len(occurred) == 10
        read_us = self.us(read or (f"{occurred}T12:00" if by_day else occurred))
        self._fold(
            Event(
                product="reserve",
                customer_id="c-17",
                event_id=id or f"{occurred} {event}",
                event=event,
                occurred_us=None if by_day else self.us(occurred),
                occurred_on=date.fromisoformat(occurred) if by_day else None,
                received_us=read_us,
                backfill=backfill,
                properties=properties,
            ),
            read_us,
        )

    def uses(self, days: Iterable[str], at: str = "T10:00") -> None:
        for each in days:
            self.use(each + at)

    def profile(self, read: str, **changed: Any) -> None:
        calendar = Calendar(**changed.pop("calendar", {}))
        told = Profile(calendar=calendar, **changed)
        self._fold(
            ProfileChanged(product="reserve", customer_id="c-17", profile=told, received_us=self.us(read)),
            self.us(read),
        )

    def tick(self, local: str) -> None:
        self.watermark_us = max(self.watermark_us, self.us(local))
        due = self.state.due_us if self.state else None
        if self.state and (self.excused or (due is not None and due < self.watermark_us)):
            self._take(
                engine.settle(
                    self.state,
                    customer_id="c-17",
                    product=self.product,
                    watermark_us=self.watermark_us,
                    excused=self.excused,
                )
            )

    def news(self) -> list[str]:
        """What was told since the last call, as `type day`."""
        news = [f"{trigger.type} {trigger.data.day}" for trigger in self.told]
        self.told = []
        return news

    def _fold(self, message: Event | ProfileChanged, read_us: int) -> None:
        self._take(
            engine.fold(
                self.state,
                message,
                product=self.product,
                appended_us=read_us,
                watermark_us=self.watermark_us,
                excused=self.excused,
            )
        )

    def _take(self, outcome: engine.Outcome) -> None:
        # Every state goes through its stored form, as it does between two batches.
        self.state = None if outcome.state is None else decode_state(encode_state(outcome.state))
        assert self.state == outcome.state
        self.told += outcome.triggers
        if outcome.rejected:
            self.rejected.append(outcome.rejected[0])


def days_of(first: str, last: str, *, but: Iterable[str] = ()) -> list[str]:
    """ISO days first..last without some."""
    skipped = set(but)
    span = range(day(first), day(last) + 1)
    return [iso for ordinal in span if (iso := date.fromordinal(ordinal).isoformat()) not in skipped]
