"""What the SDKs of Segment, RudderStack and Jitsu send: track, page, screen, identify, group, alias. Pure."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from services.ingest.dialects.mapping import Envelope, Json, Parsed, Reading, customer_of, profile, use
from services.ingest.dialects.short import Name, decoded, shortened
from services.ingest.json_items import read_value
from services.ingest.limits import are_surely_printable
from services.ingest.plain import Plain, Properties, Text
from shared.auth import key_alone
from shared.errors import InvalidInput, NotParseable

KINDS = ("track", "page", "screen", "identify", "group", "alias")


class _Track(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", gc=False):
    """A track that is plain use."""

    type: Literal["track"]
    event: Name
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    message_id: Text = ""
    user_id: Text | None = None
    group_id: Any = None
    account_id: Any = None
    context: Any = None
    properties: Properties = {}
    anonymous_id: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    integrations: Any = None
    channel: Any = None


class _Tracks(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    batch: list[_Track]
    write_key: str | None = None
    sent_at: Any = None


_tracks = msgspec.json.Decoder(_Tracks)


def open_body(body: bytes, kind: str | None = None) -> Envelope:
    """`{"batch": [...]}`, an array, or one item; one of type `kind` alone where the path says so.

    Raises NotParseable.
    """
    plain = decoded(_tracks, body) if kind is None else None
    if plain is None:
        return _opened(body, kind)
    key = key_alone(plain.write_key) if plain.write_key is not None else None
    return shortened(
        lambda: _opened(body, kind), body, plain.batch, _to_plain, key=key, sent_at=plain.sent_at
    )


def _to_plain(track: _Track, customer_id: str) -> Plain:
    return Plain(
        customer_id=customer_id,
        event_id=track.message_id,
        event=track.event,
        occurred_at=track.timestamp,
        user_id=track.user_id or "",
        properties=track.properties,
    )


def _opened(body: bytes, kind: str | None) -> Envelope:
    value, is_clean = read_value(body)
    whole = {"batch": value} if isinstance(value, list) and kind is None else value
    if not isinstance(whole, dict):
        raise NotParseable("the body is a JSON object")
    batch = whole.get("batch") if kind is None else None
    if batch is not None and not isinstance(batch, list):
        raise NotParseable("batch is a list")
    alone = {**whole, "type": kind} if kind else whole
    key = whole.get("writeKey")
    return Envelope(
        items=[_without_key(item) for item in ([alone] if batch is None else batch)],
        is_clean=is_clean,
        are_printable=are_surely_printable(body),
        key=key_alone(key) if isinstance(key, str) else None,
        sent_at=whole.get("sentAt"),
    )


def parse_item(item: Json, reading: Reading) -> Parsed:
    """Use (track, page, screen), a profile (identify, group), or nothing (alias)."""
    kind = item.get("type")
    if kind == "alias":
        return None
    if kind not in KINDS:
        raise InvalidInput(f"type is one of {', '.join(KINDS)}")
    found = customer_of(item, reading.paths)
    if kind in ("identify", "group"):
        # Traits of a person tell of the customer only where the person is the customer.
        is_about_customer = found.is_user == (kind == "identify")
        return profile(reading, found, item.get("traits")) if is_about_customer else None
    return use(
        reading,
        found,
        name=item.get("event") if kind == "track" else kind,
        event_id=item.get("messageId"),
        at=item.get("timestamp") or item.get("originalTimestamp"),
        at_field="timestamp",
        # Whoever passes on what was received before has corrected it already.
        skew_us=0 if "receivedAt" in item else reading.skew_us,
        user_id=item.get("userId"),
        properties=item.get("properties") if kind == "track" else _page_properties(item),
    )


def _without_key(item: Any) -> Any:
    """An item as a dead letter may keep it."""
    if not isinstance(item, dict) or "writeKey" not in item:
        return item
    return {field: value for field, value in item.items() if field != "writeKey"}


def _page_properties(item: Json) -> object:
    properties = item.get("properties") or {}
    if not isinstance(properties, dict):
        return properties
    named = {field: item[field] for field in ("name", "category") if item.get(field)}
    return {**named, **properties}
