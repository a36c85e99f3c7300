"""What PostHog's SDKs send: batches and single captures, with groups among the properties. Pure."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from services.ingest.dialects.mapping import Envelope, Json, Parsed, Reading, customer_of, profile, use
from services.ingest.dialects.paths import find_customer
from services.ingest.dialects.short import Name, decoded, shortened
from services.ingest.json_items import read_value
from services.ingest.limits import are_surely_printable
from services.ingest.plain import Plain, Properties, Text
from shared.errors import InvalidInput, NotParseable

IGNORED = frozenset(
    (
        "$create_alias",
        "$merge_dangerously",
        "$feature_flag_called",
        "$exception",
        "$web_vitals",
        "$snapshot",
    )
)
"""What software does by itself is no use by anybody."""


_NO_USE = IGNORED | {"$groupidentify", "$identify", "$set"}


class _Capture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A capture that is plain use."""

    event: Name
    distinct_id: Name
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    uuid: Text = ""
    properties: Properties = {}
    library: Any = None
    library_version: Any = None
    type: Any = None


class _Captures(msgspec.Struct, frozen=True, kw_only=True):
    batch: list[_Capture]
    api_key: str | None = None
    token: str | None = None
    sent_at: Any = None
    historical_migration: bool = False


_captures = msgspec.json.Decoder(_Captures)


def open_body(body: bytes) -> Envelope:
    """`{"api_key", "batch": [...]}`, an array, or one capture. Raises NotParseable."""
    plain = decoded(_captures, body)
    if plain is None:
        return _opened(body)
    return shortened(
        lambda: _opened(body),
        body,
        plain.batch,
        _to_plain,
        key=plain.api_key or plain.token,
        sent_at=plain.sent_at,
        is_history=plain.historical_migration,
    )


def _to_plain(capture: _Capture, customer_id: str) -> Plain | None:
    if capture.event in _NO_USE or "token" in capture.properties:
        return None
    return Plain(
        customer_id=customer_id,
        event_id=capture.uuid,
        event=capture.event,
        occurred_at=capture.timestamp,
        user_id=capture.distinct_id,
        properties=capture.properties,
    )


def _opened(body: bytes) -> Envelope:
    value, is_clean = read_value(body)
    whole = {"batch": value} if isinstance(value, list) else value
    if not isinstance(whole, dict):
        raise NotParseable("the body is a JSON object with a batch")
    batch = whole.get("batch")
    if batch is not None and not isinstance(batch, list):
        raise NotParseable("batch is a list")
    return Envelope(
        items=[_without_key(capture) for capture in ([whole] if batch is None else batch)],
        is_clean=is_clean,
        are_printable=are_surely_printable(body),
        key=_key(value[0] if isinstance(value, list) and value else value),
        sent_at=whole.get("sent_at"),
        is_history=whole.get("historical_migration") is True,
    )


def parse_item(item: Json, reading: Reading) -> Parsed:
    """Use (any event of a person's doing), a profile (`$identify`, `$set`, `$groupidentify`), or nothing."""
    name = item.get("event")
    if not isinstance(name, str):
        raise InvalidInput("event is text")
    properties = item.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    if name in IGNORED:
        return None
    if name == "$groupidentify":
        return _group_profile(properties, reading)
    # In a browser the id of the person stands among the properties.
    whole = item if "distinct_id" in item else {"distinct_id": properties.get("distinct_id"), **item}
    found = customer_of(whole, reading.paths)
    if name in ("$identify", "$set"):
        return profile(reading, found, _traits(item, properties)) if found.is_user else None
    return use(
        reading,
        found,
        name=name,
        event_id=item.get("uuid"),
        at=item.get("timestamp"),
        at_field="timestamp",
        skew_us=reading.skew_us,
        user_id=whole["distinct_id"],
        properties=item.get("properties"),
    )


def _group_profile(properties: Json, reading: Reading) -> Parsed:
    """The profile of a group, where groups of its type are the customers."""
    groups = {str(properties.get("$group_type")): properties.get("$group_key")}
    found = find_customer({"properties": {"$groups": groups}}, reading.paths)
    return profile(reading, found, properties.get("$group_set")) if found else None


def _traits(item: Json, properties: Json) -> dict[str, Any]:
    places = (item.get(field) or properties.get(field) for field in ("$set_once", "$set"))
    return {name: value for place in places if isinstance(place, dict) for name, value in place.items()}


def _key(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    properties = value.get("properties")
    inner = properties.get("token") if isinstance(properties, dict) else None
    key = value.get("api_key") or value.get("token") or inner
    return key if isinstance(key, str) else None


def _without_key(capture: Any) -> Any:
    """A capture as it may be kept: neither in an event nor in a dead letter has a key any business."""
    if not isinstance(capture, dict):
        return capture
    properties = capture.get("properties")
    if isinstance(properties, dict) and "token" in properties:
        inner = {field: value for field, value in properties.items() if field != "token"}
        capture = {**capture, "properties": inner}
    if "api_key" in capture or "token" in capture:
        return {field: value for field, value in capture.items() if field not in ("api_key", "token")}
    return capture
