"""The messages of the topic `usage.events`: use, profiles, and time itself.

Instants are integers, microseconds since the epoch in UTC (`*_us`); usage days are ISO dates.
A message is JSON with `kind` as its tag, one message a record, keyed by `record_key`.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec

TOPIC_EVENTS = "usage.events"
TOPIC_TRIGGERS = "usage.triggers"
TOPIC_DEAD_LETTERS = "usage.dead_letters"

FUTURE_TOLERANCE_US = 5 * 60 * 1_000_000
"""An event this much ahead of the clock of whoever reads it is still taken; beyond it, `in_future`."""

CUSTOMER_ID_CHARS_MAX = 200


class Event(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="event", omit_defaults=True, gc=False
):
    """One use of the product by one customer; immutable, and so never part of a cycle (`gc=False`).

    `occurred_us` is None when the source knows the day alone: then `occurred_on` names the usage
    day, and the event is in time for any cutoff of it.
    """

    product: str
    customer_id: str
    event_id: str
    event: str = "used"
    occurred_us: int | None = None
    occurred_on: date | None = None
    received_us: int
    user_id: str | None = None
    properties: dict[str, Any] = {}
    backfill: bool = False


class Calendar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """On which days use is expected; None means: as the product has it.

    `closed_weekdays`: 0 = Monday .. 6 = Sunday. `holidays`: ISO 3166 country, optionally with a
    subdivision (`JP`, `US-CA`), "" for none. `closures`: first and last day, both included.
    `pause`: first day and last day or None for open.
    """

    closed_weekdays: tuple[int, ...] | None = None
    holidays: str | None = None
    closures: tuple[tuple[date, date], ...] = ()
    pause: tuple[date, date | None] | None = None
    learn_closed_weekdays: bool | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a product tells of a customer; everything optional, None means not told."""

    name: str | None = None
    time_zone: str | None = None
    day_starts_at: str | None = None  # "HH:MM"
    calendar: Calendar = Calendar()
    csm: str | None = None
    segment: str | None = None
    phone: str | None = None
    contact_window: str | None = None  # "14:00-17:00"
    contract_started_on: date | None = None
    mrr: float | None = None
    renewal_on: date | None = None
    properties: dict[str, Any] = {}


class ProfileChanged(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="profile", omit_defaults=True
):
    """A customer's profile as the product now has it; the whole profile unless `merge`."""

    product: str
    customer_id: str
    profile: Profile
    received_us: int
    merge: bool = False
    backfill: bool = False


class CustomerErased(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="erase", omit_defaults=True
):
    """Forget this customer: days, triggers, tasks.

    `receipt_id` names the receipt that is written then, `asked_by` the key that asked.
    """

    product: str
    customer_id: str
    received_us: int
    receipt_id: str = ""
    asked_by: str = ""


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tick"):
    """Time in the log: `at_us` is the writer's clock, read before sending."""

    at_us: int


class DayExcused(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="excuse"):
    """An operator declares a usage day not expected for a whole product; one record a partition."""

    product: str
    day: date
    received_us: int


Message = Event | ProfileChanged | CustomerErased | Tick | DayExcused

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that could not be taken, kept with its reason and origin; value of `usage.dead_letters`.

    `reason` is a code of `docs/operations.md`: invalid, in_future, too_old, poison, ...
    `origin` says where it came from (`http`, `import`, `usage.events/3/1207`).
    """

    id: str
    product: str
    reason: str
    message: str
    origin: str
    rejected_us: int
    customer_id: str | None = None
    payload: str = ""


encode: Callable[[Message | DeadLetter], bytes] = _encoder.encode
"""The record value of a message. No function around it: this is called for every event there is."""

decode: Callable[[bytes], Message] = _decoder.decode
"""The message of a record value; raises msgspec.DecodeError or ValidationError on anything else."""


def record_key(product: str, customer_id: str) -> bytes:
    """The partition key: one customer's events, profile changes and triggers keep one order."""
    return f"{product}/{customer_id}".encode()
