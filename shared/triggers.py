"""The trigger: a fact decided by the evaluator, as it is sent to topic, webhook and backtest line."""

from datetime import date
from hashlib import sha1
from typing import Any
from uuid import UUID

import msgspec

_NAMESPACE = UUID("0f6dc2f8-8a4b-5d3e-9a43-5f8d6f1f4c55").bytes
_VARIANTS = dict(zip("0123456789abcdef", 4 * "89ab", strict=True))
RESUMED = "usage.resumed"
MISSED_SUFFIX = ".missed"
"""What a count that closed short adds to the type it would have had."""


class StreakFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A streak as told: `length` active days over `calendar_days`; days are None when length is 0."""

    length: int
    calendar_days: int
    started_on: date | None
    last_active_on: date | None


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who it is about, as known when the trigger was decided."""

    id: str
    name: str | None = None
    time_zone: str | None = None
    csm: str | None = None
    segment: str | None = None
    phone: str | None = None
    contact_window: str | None = None
    mrr: float | None = None
    renewal_on: date | None = None
    properties: dict[str, Any] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a stop is surprising (or not), as a code with its numbers; worded per language by the notifier."""

    code: str
    values: dict[str, Any] = {}


class TriggerData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a trigger; a field that does not apply to its type is absent."""

    product: str
    rule: str
    day: date
    decided_at: str
    cutoff_at: str | None = None
    surprise: float | None = None
    reasons: tuple[Reason, ...] = ()
    episode_day: int | None = None
    missed_days: int | None = None
    stopped_id: str | None = None
    count: int | None = None
    streak: StreakFacts
    customer: CustomerFacts


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """`timestamp` is when it became true (RFC 3339, UTC); `id` is derived, so a replay repeats it."""

    id: str
    type: str
    timestamp: str
    data: TriggerData


def trigger_id(*, product: str, customer_id: str, rule: str, type: str, day: str, episode: str) -> str:
    """UUIDv5 of what makes a trigger the one it is.

    `day` and `episode` are ISO dates or empty: what happens once per customer has neither, what
    happens once per episode has the episode alone (decision record 0002).
    """
    name = f"{product}\x1f{customer_id}\x1f{rule}\x1f{type}\x1f{day}\x1f{episode}"
    # What uuid.uuid5 does, without its object: half of the time that a trigger takes to be worded.
    found = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANTS[found[16]]
    return f"{found[:8]}-{found[8:12]}-5{found[13:16]}-{variant}{found[17:20]}-{found[20:32]}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Trigger)


def traced_as(trigger: Trigger) -> dict[str, str]:
    """The attributes by which the spans of a trigger are found: ids, and nothing that a product has told."""
    return {
        "usage_triggers.trigger.id": trigger.id,
        "usage_triggers.trigger.type": trigger.type,
        "usage_triggers.product": trigger.data.product,
        "usage_triggers.customer.id": trigger.data.customer.id,
        "usage_triggers.rule": trigger.data.rule,
        "usage_triggers.day": trigger.data.day.isoformat(),
    }


def encode_trigger(trigger: Trigger) -> bytes:
    """The JSON of a trigger: one line, as topic, webhook and backtest carry it."""
    return _encoder.encode(trigger)


def decode_trigger(value: bytes | str) -> Trigger:
    """The trigger of a JSON line; raises msgspec.DecodeError or ValidationError."""
    return _decoder.decode(value)


__all__ = [
    "MISSED_SUFFIX",
    "RESUMED",
    "CustomerFacts",
    "Reason",
    "StreakFacts",
    "Trigger",
    "TriggerData",
    "decode_trigger",
    "encode_trigger",
    "traced_as",
    "trigger_id",
]
