"""A product whose cutoff comes in a few seconds, whatever the time is, and use around it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from shared.clock import SystemClock, from_us, to_us
from shared.events import Event, encode, record_key
from shared.log import Message
from tests.faults.place import PRODUCT, SECTION, Place

_DAY = timedelta(days=1)
_SECOND_US = 1_000_000
_HALF_A_DAY = timedelta(hours=12)


class Cutoff(msgspec.Struct, frozen=True, kw_only=True):
    """A cutoff on the usage day `today`, which began half a day ago; judged after `deadline_us`."""

    today: date
    cutoff_us: int
    deadline_us: int

    @property
    def section(self) -> dict[str, Any]:
        """The product's section: the cutoff has the minute of the clock, its grace the seconds."""
        at = from_us(self.cutoff_us)
        stopped = {
            **SECTION["rules"]["stopped"],
            "cutoff": f"{at:%H:%M}",
            "grace": f"{(self.deadline_us - self.cutoff_us) // _SECOND_US}s",
        }
        return {
            **SECTION,
            "day_starts_at": f"{at - _HALF_A_DAY:%H:%M}",
            "rules": {**SECTION["rules"], "stopped": stopped},
        }

    def habit(self, customer_id: str, *, until: int = 1) -> list[Message]:
        """Six days of use, the last one `until` days ago."""
        return self.days(customer_id, range(until + 5, until - 1, -1))

    def days(self, customer_id: str, ago: Sequence[int]) -> list[Message]:
        """Use of which the day alone is known."""
        return [_record(customer_id, occurred_on=self.today - count * _DAY) for count in ago]

    def use_before(self, customer_id: str) -> Message:
        """Use an hour before the cutoff."""
        return _record(customer_id, occurred_us=self.cutoff_us - 3600 * _SECOND_US)

    def use_after(self, customer_id: str) -> Message:
        """Use right at the cutoff, which is too late for it."""
        return _record(customer_id, occurred_us=self.cutoff_us)

    async def passed(self, place: Place) -> None:
        """Returns when the deadline lies behind us."""
        while SystemClock().now_us() <= self.deadline_us:
            await place.look_again()


def soon(seconds: int) -> Cutoff:
    """A cutoff whose deadline comes in so many seconds (or was so many seconds ago)."""
    now = from_us(SystemClock().now_us())
    deadline = now + timedelta(seconds=seconds)
    at = (min(now, deadline) - timedelta(seconds=2)).replace(second=0, microsecond=0)
    began = datetime.combine((at - _HALF_A_DAY).date(), (at - _HALF_A_DAY).time(), tzinfo=UTC)
    return Cutoff(today=began.date(), cutoff_us=to_us(at), deadline_us=to_us(deadline.replace(microsecond=0)))


def _record(customer_id: str, *, occurred_us: int | None = None, occurred_on: date | None = None) -> Message:
    event = Event(
        product=PRODUCT,
        customer_id=customer_id,
        event_id=str(uuid4()),
        occurred_us=occurred_us,
        occurred_on=occurred_on,
        received_us=SystemClock().now_us(),
    )
    return Message(value=encode(event), key=record_key(PRODUCT, customer_id))
