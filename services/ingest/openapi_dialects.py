"""The hand-written OpenAPI of other services' formats: the fields that are read, out of many more."""

from services.ingest.openapi import REJECTED, Schema

_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_TIME: Schema = {"type": "string", "description": "RFC 3339 with an offset; now when absent."}
_ID: Schema = {"type": ["string", "integer"]}

PASSED: Schema = {
    "type": "object",
    "required": ["success", "status", "code", "accepted", "rejected"],
    "properties": {
        "success": {"const": True},
        "status": {"const": 1},
        "code": {"const": 200},
        "accepted": {"type": "integer"},
        "rejected": REJECTED,
    },
    "example": {"success": True, "status": 1, "code": 200, "accepted": 2, "rejected": []},
}

_SEGMENT_FIELDS: Schema = {
    "event": {**_TEXT, "description": "The name of the event, of a track."},
    "groupId": {**_ID, "description": "The customer, unless the configuration says otherwise."},
    "userId": {**_ID, "description": "The person; the customer where there is no group."},
    "messageId": {**_ID, "description": "The id of the event."},
    "timestamp": _TIME,
    "originalTimestamp": _TIME,
    "properties": _OBJECT,
    "traits": {**_OBJECT, "description": "Of identify and group: laid over the customer's profile."},
    "context": {**_OBJECT, "description": "May hold `groupId`."},
}
_SEGMENT_EXAMPLE: Schema = {
    "type": "track",
    "event": "Reservation Created",
    "groupId": "c-17",
    "userId": "u-3",
    "messageId": "m-1",
    "properties": {"party": 4},
}
_SEGMENT_ITEM: Schema = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": ["track", "page", "screen", "identify", "group", "alias"]},
        **_SEGMENT_FIELDS,
    },
}

SEGMENT_BATCH: Schema = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "items": _SEGMENT_ITEM},
        "sentAt": {"description": "When the sender's clock said that it sent; corrects a wrong clock."},
        "writeKey": {"description": "The API key, where it is not in a header."},
    },
    "example": {"batch": [_SEGMENT_EXAMPLE]},
}

_POSTHOG_ITEM: Schema = {
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {**_TEXT, "description": "The name of the event."},
        "distinct_id": {**_ID, "description": "The person; the customer where there is no group."},
        "properties": {**_OBJECT, "description": "`$groups` names the customer."},
        "timestamp": _TIME,
        "uuid": {**_ID, "description": "The id of the event."},
    },
}
_POSTHOG_EXAMPLE: Schema = {
    "event": "reservation created",
    "distinct_id": "u-3",
    "properties": {"$groups": {"company": "c-17"}, "party": 4},
}

POSTHOG_CAPTURE: Schema = {
    **_POSTHOG_ITEM,
    "properties": {**_POSTHOG_ITEM["properties"], "api_key": {"description": "The API key."}},
    "example": _POSTHOG_EXAMPLE,
}

POSTHOG_BATCH: Schema = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "api_key": {"description": "The API key, where it is not in a header."},
        "batch": {"type": "array", "items": _POSTHOG_ITEM},
        "sent_at": {"description": "When the sender's clock said that it sent; corrects a wrong clock."},
        "historical_migration": {"description": "true: these are history, and raise nothing."},
    },
    "example": {"batch": [_POSTHOG_EXAMPLE]},
}


def segment_single(kind: str) -> Schema:
    """One item whose type the path names."""
    named = {"name": _TEXT} if kind in ("page", "screen") else {}
    example = {field: value for field, value in _SEGMENT_EXAMPLE.items() if field != "type"}
    return {"type": "object", "properties": {**_SEGMENT_FIELDS, **named}, "example": example}
