"""The short way of native events that are as nearly all are: plain text, hardly nested, just now. Pure.

Whatever is otherwise goes the long way (`native.py`), event by event, and comes to the same record or to
its reason. What is written out here without a call for each step is a third of the time of a large batch
(decision record 0024).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from services.ingest.json_items import read_all
from services.ingest.limits import EVENT_BYTES_MAX, NAME_CHARS_MAX, Terms
from shared.clock import EPOCH
from shared.events import Event, encode, record_key
from shared.log import Message

MakeId = Callable[[], str]
LookCloser = Callable[[int, "Plain"], Message | None]
"""What is made of the event at this place after all; None where nothing can be."""

Scalar = str | int | float | bool | None
Properties = dict[str, Scalar | dict[str, Scalar] | list[Scalar]]
Text = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]


class Plain(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """A native event that the decoder alone finds to be within its bounds."""

    customer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    event_id: Text = ""
    event: Text = ""
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    user_id: Text = ""
    properties: Properties = {}


_many = msgspec.json.Decoder(list[Plain])
_one = msgspec.json.Decoder(Plain)


def read_plain(body: bytes) -> Sequence[Plain] | None:
    """The events of a JSON body, one or an array; None unless all of them are plain. Raises TooLarge."""
    return read_all(body, _many, _one)


def plain_records(
    plains: Sequence[Plain],
    terms: Terms,
    make_id: MakeId,
    look_closer: LookCloser,
    *,
    are_printable: bool,
    are_trimmed: bool,
) -> list[Message]:
    """The records of plain events in their order; `look_closer` has the word on one that is not so plain.

    `are_printable`: that no text has control characters is known already; `are_trimmed`: nor blanks at its
    ends, and nothing else to clean.
    """
    product, now_us, oldest_us, backfill = terms.product, terms.now_us, terms.oldest_us, terms.backfill
    key_start = record_key(product, "")  # A key ends with the customer's id.
    messages: list[Message] = []
    for index, plain in enumerate(plains):
        customer_id, event_id, event, user_id = plain.customer_id, plain.event_id, plain.event, plain.user_id
        is_clean = are_trimmed or (
            customer_id.strip() == customer_id
            and event_id.strip() == event_id
            and event.strip() == event
            and user_id.strip() == user_id
            and (are_printable or f"{customer_id}{event_id}{event}{user_id}".isprintable())
        )
        occurred_us, occurred_at = now_us, plain.occurred_at
        if occurred_at is not None:
            since = occurred_at - EPOCH
            occurred_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        if is_clean and oldest_us <= occurred_us <= now_us:
            value = encode(
                Event(
                    product=product,
                    customer_id=customer_id,
                    event_id=event_id or make_id(),
                    event=event or "used",
                    occurred_us=occurred_us,
                    received_us=now_us,
                    user_id=user_id or None,
                    properties=plain.properties,
                    backfill=backfill,
                )
            )
            if len(value) <= EVENT_BYTES_MAX:
                messages.append(Message(value=value, key=key_start + customer_id.encode()))
                continue
        message = look_closer(index, plain)
        if message is not None:
            messages.append(message)
    return messages
