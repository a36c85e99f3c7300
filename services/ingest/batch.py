"""What a parser makes of one body: records for the log, and each bad item with its reason. Pure."""

from typing import Any

import msgspec

from services.ingest.limits import (
    EVENT_BYTES_MAX,
    PROFILE_BYTES_MAX,
    check_id,
    too_large,
)
from shared.errors import InvalidInput
from shared.events import Event, ProfileChanged, encode, record_key
from shared.log import Message

PAYLOAD_BYTES_MAX = 32 << 10
MESSAGE_CHARS_MAX = 300


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One item refused: its place among those sent (from 0), why, and what it was."""

    index: int
    code: str
    message: str
    customer_id: str | None = None
    payload: str = ""

    def shown(self) -> dict[str, Any]:
        """As its sender is told."""
        return {"index": self.index, "code": self.code, "message": self.message}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Every item of a body, once: a record, refused, or ignored as saying nothing of use.

    `messages` are in the order sent, events and profiles alike, so that one customer's keep it.
    """

    messages: list[Message]
    rejected: list[Rejection]
    profile_count: int = 0
    ignored_count: int = 0

    @property
    def accepted_count(self) -> int:
        return len(self.messages) + self.ignored_count

    @property
    def event_count(self) -> int:
        return len(self.messages) - self.profile_count


def event_record(event: Event) -> Message:
    """The record of an event; raises TooLarge for one that is more than an event should be."""
    value = encode(event)
    if len(value) > EVENT_BYTES_MAX:
        raise too_large(EVENT_BYTES_MAX, "an event")
    return Message(value=value, key=record_key(event.product, event.customer_id))


def profile_record(changed: ProfileChanged) -> Message:
    """The record of a profile; raises TooLarge as event_record does."""
    value = encode(changed)
    if len(value) > PROFILE_BYTES_MAX:
        raise too_large(PROFILE_BYTES_MAX, "a profile")
    return Message(value=value, key=record_key(changed.product, changed.customer_id))


def reject(index: int, error: InvalidInput, payload: bytes, customer_id: object = None) -> Rejection:
    """A rejection that keeps the item as it came, as far as text can, and the customer if it has one."""
    return Rejection(
        index=index,
        code=error.code,
        message=error.message[:MESSAGE_CHARS_MAX],
        customer_id=_id_if_good(customer_id),
        payload=payload[:PAYLOAD_BYTES_MAX].decode("utf-8", "backslashreplace"),
    )


def _id_if_good(customer_id: object) -> str | None:
    try:
        return check_id(customer_id, "customer_id")
    except InvalidInput:
        return None
