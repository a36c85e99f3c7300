"""CloudEvents 1.0 over HTTP, in its three content modes: structured, batched and binary. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote
from uuid import UUID, uuid5

import msgspec

from services.ingest.dialects.mapping import Envelope, Json, Parsed, Reading, customer_of, use
from services.ingest.dialects.short import Name, decoded, shortened
from services.ingest.json_items import read_value
from services.ingest.limits import NAME_CHARS_MAX, are_surely_printable
from services.ingest.plain import Plain, Properties
from shared.errors import InvalidInput

_STRUCTURED = frozenset(("application/cloudevents+json", "application/cloudevents-batch+json"))
_NAMESPACE = UUID("2f2c1a53-0f0b-5c0e-8d6f-5b3a1d3b9d10")
_PREFIX = "ce-"


class _CloudEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """An event that is plain use, without extension attributes."""

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    subject: Any = None
    datacontenttype: Any = None
    dataschema: Any = None
    data: Properties | None = None


_events = msgspec.json.Decoder(list[_CloudEvent])


def is_one(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers carries CloudEvents."""
    return "ce-specversion" in headers or _content_type(headers) in _STRUCTURED


def open_body(headers: Mapping[str, str], body: bytes) -> Envelope:
    """The events of a request: attributes in the body (one, or an array) or in the headers.

    Raises NotParseable.
    """
    if _content_type(headers) not in _STRUCTURED:
        return _open_binary(headers, body)
    events = decoded(_events, body)
    return _opened(body) if events is None else shortened(lambda: _opened(body), body, events, _to_plain)


def _to_plain(event: _CloudEvent, customer_id: str) -> Plain | None:
    event_id, data = _event_id(event.source, event.id), event.data or {}
    user_id = data.get("user_id") or ""
    if not isinstance(user_id, str) or len(user_id) > NAME_CHARS_MAX:
        return None
    return Plain(
        customer_id=customer_id,
        event_id=event_id,
        event=event.type,
        occurred_at=event.time,
        user_id=user_id,
        properties=data,
    )


def _opened(body: bytes) -> Envelope:
    value, is_clean = read_value(body)
    return Envelope(
        items=value if isinstance(value, list) else [value],
        is_clean=is_clean,
        are_printable=are_surely_printable(body),
    )


def _open_binary(headers: Mapping[str, str], body: bytes) -> Envelope:
    event: dict[str, Any] = {
        name.removeprefix(_PREFIX): unquote(value.strip('"'))
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    content_type = _content_type(headers)
    if not body or not (content_type in ("", "application/json") or content_type.endswith("+json")):
        return Envelope(items=[event])  # What is not JSON says nothing that a rule could read.
    data, is_clean = read_value(body)
    return Envelope(items=[{**event, "data": data}], is_clean=is_clean)


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_item(item: Json, reading: Reading) -> Parsed:
    """The use that an event tells of: `type` is its name, `subject` its customer."""
    if item.get("specversion") != "1.0":
        raise InvalidInput("specversion is 1.0")
    for attribute in ("id", "source", "type"):
        if not isinstance(item.get(attribute), str) or not item[attribute]:
            raise InvalidInput(f"the attribute {attribute} is missing")
    data = item.get("data")
    return use(
        reading,
        customer_of(item, reading.paths),
        name=item["type"],
        event_id=_event_id(item["source"], item["id"]),
        at=item.get("time"),
        at_field="time",
        skew_us=0,
        user_id=data.get("user_id") if isinstance(data, dict) else None,
        properties=data if isinstance(data, dict) else {} if data is None else {"data": data},
    )


def _event_id(source: str, id: str) -> str:
    """Source and id together are unique; what is too long for an id of ours becomes a derived one."""
    joined = f"{source} {id}"
    return joined if len(joined) <= NAME_CHARS_MAX else str(uuid5(_NAMESPACE, joined))
