"""The native event: `{"customer_id", "event_id", "event", "occurred_at", "user_id", "properties"}`. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from services.ingest.batch import Batch, Rejection, event_record, reject
from services.ingest.json_items import UNREADABLE, Item, read_all, split
from services.ingest.limits import (
    Terms,
    are_plain,
    are_surely_printable,
    check_day,
    check_id,
    check_instant,
    check_name,
    check_nesting,
    instant_us,
)
from services.ingest.plain import MakeId, Plain, plain_records, read_plain
from shared.errors import InvalidInput
from shared.events import Event
from shared.log import Message


class _Native(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Any event. Unknown fields are refused: a misspelt `occurred_at` must not turn into "now"."""

    customer_id: str | int
    event_id: str | int | None = ""
    event: str | None = ""
    occurred_at: datetime | None = None
    occurred_on: date | None = None
    user_id: str | int | None = ""
    properties: dict[str, Any] | None = None


FIELDS = _Native.__struct_fields__

_many = msgspec.json.Decoder(list[_Native])
_one = msgspec.json.Decoder(_Native)
_anything = msgspec.json.Decoder()


def parse(body: bytes, terms: Terms, make_id: MakeId, *, lines: bool = False) -> Batch:
    """The events of a body: one object, an array, or NDJSON (`lines`, or as it looks).

    A bad event is rejected alone. `make_id` gives an id to an event that has none. Raises
    NotParseable for a body that is not JSON at all, TooLarge for more events than are taken at once.
    """
    if not lines:
        plains = read_plain(body)
        if plains is not None:
            return _batch_of_plain(plains, body, terms, make_id)
        natives = read_all(body, _many, _one)
        if natives is not None:
            return _batch_of(natives, terms, make_id)
    messages: list[Message] = []
    rejected: list[Rejection] = []
    for index, item in enumerate(split(body, lines=lines)):
        try:
            messages.append(event_record(_event_of(item, terms, make_id)))
        except InvalidInput as error:
            rejected.append(reject(index, error, item.payload, _customer_of(item)))
    return Batch(messages=messages, rejected=rejected)


def parse_one(payload: bytes, terms: Terms, make_id: MakeId) -> Event:
    """The event of one JSON object; raises InvalidInput with a line that names the field."""
    return _to_event(_decode_patiently(payload), terms, make_id)


def _batch_of_plain(plains: Sequence[Plain], body: bytes, terms: Terms, make_id: MakeId) -> Batch:
    rejected: list[Rejection] = []

    def look_closer(index: int, plain: Plain) -> Message | None:
        try:
            return event_record(_to_event(_any(plain), terms, make_id))
        except InvalidInput as error:
            rejected.append(reject(index, error, msgspec.json.encode(plain), plain.customer_id))
            return None

    are_printable = are_surely_printable(body)
    messages = plain_records(
        plains,
        terms,
        make_id,
        look_closer,
        are_printable=are_printable,
        are_trimmed=are_printable and b" " not in body,
    )
    return Batch(messages=messages, rejected=rejected)


def _any(plain: Plain) -> _Native:
    return msgspec.convert(plain, _Native, from_attributes=True)


def _batch_of(natives: Sequence[_Native], terms: Terms, make_id: MakeId) -> Batch:
    messages: list[Message] = []
    rejected: list[Rejection] = []
    for index, native in enumerate(natives):
        try:
            messages.append(event_record(_to_event(native, terms, make_id)))
        except InvalidInput as error:
            rejected.append(reject(index, error, msgspec.json.encode(native), native.customer_id))
    return Batch(messages=messages, rejected=rejected)


def _event_of(item: Item, terms: Terms, make_id: MakeId) -> Event:
    if item.error is not None:
        raise item.error
    return parse_one(item.payload, terms, make_id)


def _decode_patiently(payload: bytes) -> _Native:
    try:
        return _one.decode(payload)
    except UNREADABLE as error:
        value = _value_of(payload)
        on_day = _with_bare_date(value)
        if on_day is not None:
            return on_day
        raise InvalidInput(_what_is_wrong(value, error)) from error


def _with_bare_date(value: object) -> _Native | None:
    """The event of a source that knows the day alone and writes it as `occurred_at`."""
    if not isinstance(value, dict) or "occurred_on" in value or len(str(value.get("occurred_at"))) != 10:
        return None
    renamed = {("occurred_on" if key == "occurred_at" else key): field for key, field in value.items()}
    try:
        return msgspec.convert(renamed, _Native)
    except msgspec.ValidationError:
        return None


def _what_is_wrong(value: object, error: Exception) -> str:
    """One line for people; `error` is msgspec's, which is right but speaks of types and paths."""
    if not isinstance(value, dict):
        return "an event is a JSON object"
    if "customer_id" not in value:
        return "customer_id is missing"
    unknown = [key for key in value if key not in FIELDS]
    if unknown:
        return f"unknown field {unknown[0][:60]!r}; what is the product's own goes under properties"
    if "RFC3339 encoded datetime" in str(error):
        return "occurred_at is no time such as 2026-03-02T18:30:00+09:00, and no date"
    return str(error)


def _to_event(native: _Native, terms: Terms, make_id: MakeId) -> Event:
    if native.properties:
        check_nesting(native.properties)
    if not are_plain(native.customer_id, native.event_id, native.event, native.user_id):
        native = _cleaned(native)
    return Event(
        product=terms.product,
        customer_id=native.customer_id,  # type: ignore[arg-type]
        event_id=native.event_id or make_id(),  # type: ignore[arg-type]
        event=native.event or "used",
        occurred_us=_occurred_us(native, terms),
        occurred_on=native.occurred_on,
        received_us=terms.now_us,
        user_id=native.user_id or None,  # type: ignore[arg-type]
        properties=native.properties or {},
        backfill=terms.backfill,
    )


def _cleaned(native: _Native) -> _Native:
    """The same with every id and name as clean text, "" where there is none; raises InvalidInput."""
    return msgspec.structs.replace(
        native,
        customer_id=check_id(native.customer_id, "customer_id"),
        event_id=_optional_id(native.event_id, "event_id"),
        event=check_name(native.event, "event") if native.event else "",
        user_id=_optional_id(native.user_id, "user_id"),
    )


def _optional_id(value: str | int | None, field: str) -> str:
    return "" if value is None or value == "" else check_id(value, field)


def _occurred_us(native: _Native, terms: Terms) -> int | None:
    """The instant of use: as told, else now; None where only the day is told."""
    occurred_at, occurred_on = native.occurred_at, native.occurred_on
    if occurred_at is not None and occurred_on is None:
        occurred_us = instant_us(occurred_at)
        check_instant(occurred_us, terms)
        return occurred_us
    if occurred_on is None:
        return terms.now_us
    if occurred_at is not None:
        raise InvalidInput("occurred_at or occurred_on, not both")
    check_day(occurred_on, terms)
    return None


def _customer_of(item: Item) -> object:
    value = _value_of(item.payload)
    return value.get("customer_id") if isinstance(value, dict) else None


def _value_of(payload: bytes) -> object:
    try:
        return _anything.decode(payload)
    except UNREADABLE:
        return None
