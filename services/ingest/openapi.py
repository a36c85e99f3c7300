"""The hand-written part of the OpenAPI page: bodies that are read as bytes, for speed and for limits."""

from typing import Any

from pydantic import BaseModel

from services.ingest.limits import EVENTS_MAX, NAME_CHARS_MAX
from shared.http import ErrorBody

Schema = dict[str, Any]

_ID: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX},
        {"type": "integer", "description": "Taken as its decimal digits."},
    ]
}
_OPTIONAL_ID: Schema = {
    "anyOf": [{"type": "string", "maxLength": NAME_CHARS_MAX}, {"type": "integer"}, {"type": "null"}]
}

EVENT_EXAMPLE = {
    "event_id": "0f6dc2f8-8a4b-4d3e-9a43-5f8d6f1f4c55",
    "customer_id": "c-17",
    "event": "reservation.created",
    "occurred_at": "2026-03-02T18:30:00+09:00",
    "user_id": "u-3",
    "properties": {"party": 4},
}

EVENT: Schema = {
    "type": "object",
    "title": "Event",
    "required": ["customer_id"],
    "additionalProperties": False,
    "properties": {
        "customer_id": {**_ID, "description": "Who used the product: the company or shop, not the person."},
        "event_id": {
            **_OPTIONAL_ID,
            "description": "Repeated when the event is sent again; made here when absent.",
        },
        "event": {
            "type": ["string", "null"],
            "maxLength": NAME_CHARS_MAX,
            "default": "used",
            "description": "What was done, such as `reservation.created`; rules choose by it.",
        },
        "occurred_at": {
            "type": ["string", "null"],
            "anyOf": [{"format": "date-time"}, {"format": "date"}, {"type": "null"}],
            "description": "RFC 3339 with an offset; now when absent. A bare date names the usage day.",
        },
        "occurred_on": {
            "type": ["string", "null"],
            "format": "date",
            "description": "The usage day, where the source knows no time; instead of `occurred_at`.",
        },
        "user_id": {**_OPTIONAL_ID, "description": "The person, for the record."},
        "properties": {
            "type": ["object", "null"],
            "additionalProperties": True,
            "description": "Anything of the product's own.",
        },
    },
    "example": EVENT_EXAMPLE,
}

CLOUDEVENT: Schema = {
    "type": "object",
    "title": "CloudEvent",
    "description": "CloudEvents 1.0; in binary mode attributes are `ce-*` headers and the body is the data.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "With `source`, the id of the event."},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1, "description": "The name of the event."},
        "subject": {"type": ["string", "integer"], "description": "The customer."},
        "time": {"type": ["string", "null"], "description": "RFC 3339 with an offset; now when absent."},
        "data": {"description": "The properties of the event."},
    },
    "example": {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/reservations",
        "type": "reservation.created",
        "subject": "c-17",
        "time": "2026-03-02T18:30:00+09:00",
        "data": {"party": 4},
    },
}

_CONTENT_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "cloudevent": "application/cloudevents+json",
    "cloudevents": "application/cloudevents-batch+json",
}

REJECTED: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "code", "message"],
        "properties": {
            "index": {"type": "integer", "description": "Its place among the items sent, from 0."},
            "code": {"type": "string", "examples": ["invalid", "in_future", "too_old", "too_large"]},
            "message": {"type": "string"},
        },
    },
}

ACCEPTED: Schema = {
    "type": "object",
    "required": ["accepted", "rejected"],
    "properties": {"accepted": {"type": "integer"}, "rejected": REJECTED},
    "example": {
        "accepted": 1,
        "rejected": [{"index": 1, "code": "invalid", "message": "customer_id is missing"}],
    },
}

_MEANING = {
    400: "Not parseable: broken JSON, broken gzip, or no body.",
    401: "No API key, an unknown one or a revoked one.",
    403: "The API key lacks the scope that this takes.",
    404: "No such route: a line break cannot stand in a path.",
    408: "The body did not arrive in time.",
    413: "More bytes or more items than are taken at once; send it in parts.",
    415: "A content type or encoding that is not understood.",
    422: "Nothing of it was acceptable; the message says why.",
    429: "More than this key may send; `Retry-After` says when there is room.",
    503: "The log or the database does not answer; send the same again after `Retry-After` seconds.",
}

BACKFILL: Schema = {
    "name": "backfill",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "These are history: they fill days and streaks and raise nothing.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: what each of these statuses means here."""
    return {status: {"model": ErrorBody, "description": _MEANING[status]} for status in statuses}


def json_answer(description: str, schema: Schema) -> dict[str, Any]:
    """For `responses=`: an answer whose schema is written by hand."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def body(**schemas: Schema) -> Schema:
    """A required request body; the keywords name its content types."""
    content = {_CONTENT_TYPES[name]: {"schema": schema} for name, schema in schemas.items()}
    return {"required": True, "content": content}


def events_body() -> Schema:
    # As words and not as maxItems: what is too much is 413, which no generator takes for a refusal.
    at_most = f"{EVENTS_MAX} at the most."
    several = {"type": "array", "items": EVENT, "description": at_most}
    lines = {"type": "string", "description": "One event a line, as JSON."}
    cloudevents = {"type": "array", "items": CLOUDEVENT, "description": at_most}
    return body(
        json={"anyOf": [EVENT, several]}, ndjson=lines, cloudevent=CLOUDEVENT, cloudevents=cloudevents
    )


def schema_of(model: type[BaseModel]) -> Schema:
    """A model's JSON Schema with its definitions in place, for a body that FastAPI does not read itself."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def placed(node: Any) -> Any:
        if isinstance(node, list):
            return [placed(child) for child in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return placed(definitions[node["$ref"].rpartition("/")[2]])
        return {name: placed(child) for name, child in node.items()}

    return placed(schema)  # type: ignore[no-any-return]
