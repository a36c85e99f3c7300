"""The routes of other services' SDKs: change the host name, and their events arrive here."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import openapi
from services.ingest import openapi_dialects as schemas
from services.ingest.batch import Batch
from services.ingest.dialects import posthog, segment
from services.ingest.dialects.mapping import Envelope, ParseItem, read_items
from services.ingest.intake import Intake, refusal
from shared.auth import presented_key
from shared.body import read_body

OpenBody = Callable[[bytes], Envelope]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A route of somebody else's: how its body is opened, its items read, and what it is called."""

    name: str
    open_body: OpenBody
    parse: ParseItem
    schema: openapi.Schema
    summary: str


def add_dialect_routes(routes: APIRouter, intake: Intake) -> None:
    """Segment's and RudderStack's, Jitsu's and PostHog's."""
    for path, dialect in _dialects().items():
        _add(routes, intake, path, dialect)


def _dialects() -> dict[str, Dialect]:
    captures = (("/capture/", "one capture"), ("/i/v0/e/", "captures"))
    return {
        "/v1/batch": _segment("segment", "a batch", schemas.SEGMENT_BATCH),
        **{f"/v1/{kind}": _single("segment", kind) for kind in segment.KINDS},
        **{f"/api/s/s2s/{kind}": _single("jitsu", kind) for kind in segment.KINDS},
        "/batch/": _posthog("a batch", schemas.POSTHOG_BATCH),
        **{path: _posthog(what, schemas.POSTHOG_CAPTURE) for path, what in captures},
    }


def _segment(name: str, what: str, schema: openapi.Schema, kind: str | None = None) -> Dialect:
    return Dialect(
        name=name,
        open_body=lambda body: segment.open_body(body, kind),
        parse=segment.parse_item,
        schema=schema,
        summary=f"{'Jitsu' if name == 'jitsu' else 'Segment, RudderStack'}: {what}",
    )


def _single(name: str, kind: str) -> Dialect:
    return _segment(name, f"one {kind}", schemas.segment_single(kind), kind)


def _posthog(what: str, schema: openapi.Schema) -> Dialect:
    return Dialect(
        name="posthog",
        open_body=posthog.open_body,
        parse=posthog.parse_item,
        schema=schema,
        summary=f"PostHog: {what}",
    )


def _add(routes: APIRouter, intake: Intake, path: str, dialect: Dialect) -> None:
    async def endpoint(request: Request) -> Response:
        return await _take(intake, request, path, dialect)

    routes.post(
        path,
        tags=[f"sent by other services' SDKs: {dialect.name}"],
        summary=dialect.summary,
        name=f"{dialect.name} {path}",
        responses={
            200: openapi.json_answer("The log has the accepted ones durably.", schemas.PASSED),
            **openapi.errors(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": openapi.body(json=dialect.schema)},
    )(endpoint)


async def _take(intake: Intake, request: Request, path: str, dialect: Dialect) -> Response:
    # A key in the headers is looked at first: without one there is no way but to read the body.
    key = await intake.key_of(request, "ingest") if presented_key(request.headers) else None
    envelope = dialect.open_body(await read_body(request))
    key = key or await intake.key_of(request, "ingest", in_body=envelope.key)
    reading = intake.reading(envelope, key, intake.terms(key, request))
    batch = read_items(envelope, dialect.parse, reading)
    intake.charge(key, batch)
    await intake.publish(batch, reading.terms, path=path, dialect=dialect.name)
    return _passed(batch)


def _passed(batch: Batch) -> Response:
    """What every one of these SDKs takes for success; some count nothing but 200 as one."""
    if batch.rejected and not batch.accepted_count:
        return refusal(batch)
    shown: dict[str, Any] = {
        "success": True,
        "status": 1,
        "code": 200,
        "accepted": batch.accepted_count,
        "rejected": [rejection.shown() for rejection in batch.rejected],
    }
    return Response(msgspec.json.encode(shown), 200, media_type="application/json")
