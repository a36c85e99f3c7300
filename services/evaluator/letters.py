"""Records as messages, and what cannot be one as a dead letter that names its reason and its place."""

from uuid import UUID, uuid5

import msgspec

from services.evaluator.changes import CustomerKey, OutboxRow
from shared.events import (
    CUSTOMER_ID_CHARS_MAX,
    TOPIC_DEAD_LETTERS,
    TOPIC_EVENTS,
    CustomerErased,
    DeadLetter,
    Event,
    Message,
    ProfileChanged,
    decode,
    encode,
    record_key,
)
from shared.log import Record

PAYLOAD_CHARS_MAX = 64 * 1024
"""An event may have 32 KiB, so every event is kept whole; a huge record of somebody else's is cut."""

POISON = "poison"
UNJUDGED = "unjudged"
_NAMESPACE = UUID("9d0ad9a3-52b9-5c5f-8b3b-6a1f0f6f5a10")


CustomerMessage = Event | ProfileChanged | CustomerErased


class Unreadable(msgspec.Struct, frozen=True):
    """A record that is no message, and why."""

    why: str


def read(record: Record) -> Message | Unreadable:
    """The message of a record; whatever bytes it holds, this returns."""
    try:
        return decode(record.value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        return Unreadable(str(error) or type(error).__name__)


def customer_of(key: bytes | None) -> CustomerKey | None:
    """The customer whose records have this key; None where a key names none."""
    try:
        product, _, customer_id = (key or b"").decode().partition("/")
    except UnicodeDecodeError:
        return None
    return (product, customer_id) if _is_customer_id(customer_id) else None


def misplaced(record: Record, message: CustomerMessage) -> str | None:
    """What is wrong with a customer's message in this record; None where it is in its place."""
    if not _is_customer_id(message.customer_id):
        return f"the customer id is empty, has a NUL or more than {CUSTOMER_ID_CHARS_MAX} characters"
    if record.key != record_key(message.product, message.customer_id):
        # One customer in two partitions would have two writers.
        return "the record's key is not made of its product and customer"
    return None


def _is_customer_id(text: str) -> bool:
    return 0 < len(text) <= CUSTOMER_ID_CHARS_MAX and "\x00" not in text


def dead_letter(
    record: Record, *, reason: str, message: str, product: str = "", customer_id: str = ""
) -> OutboxRow:
    """The outbox row of a record put aside; its id is made of its place, so a replay repeats it."""
    return _row(
        origin=f"{TOPIC_EVENTS}/{record.partition}/{record.offset}",
        key=(product, customer_id),
        reason=reason,
        message=message,
        rejected_us=record.appended_us,
        payload=record.value.decode("utf-8", "backslashreplace")[:PAYLOAD_CHARS_MAX],
    )


def unjudged(key: CustomerKey, message: str, watermark_us: int) -> OutboxRow:
    """The outbox row of a customer whom the core failed to judge at this watermark."""
    return _row(
        origin=f"customers/{key[0]}/{key[1]}/{watermark_us}",
        key=key,
        reason=UNJUDGED,
        message=message,
        rejected_us=watermark_us,
        payload="",
    )


def _row(
    *, origin: str, key: CustomerKey, reason: str, message: str, rejected_us: int, payload: str
) -> OutboxRow:
    letter = DeadLetter(
        id=str(uuid5(_NAMESPACE, origin)),
        product=key[0],
        reason=reason,
        message=message,
        origin=origin,
        rejected_us=rejected_us,
        customer_id=key[1] or None,
        payload=payload,
    )
    return OutboxRow(
        id=letter.id,
        topic=TOPIC_DEAD_LETTERS,
        product=key[0],
        customer_id=key[1],
        value=encode(letter),
    )
