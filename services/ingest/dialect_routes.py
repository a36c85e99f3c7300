"""The routes of other services' SDKs: change the host name, and their events arrive here."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import openapi
from services.ingest.batch import Batch
from services.ingest.dialects import posthog, segment
from services.ingest.dialects.mapping import Envelope, ParseItem, read_items
from services.ingest.intake import Intake, refusal
from shared.auth import presented_key
from shared.body import read_body

OpenBody = Callable[[bytes], Envelope]

_PASSED = {
    "type": "object",
    "required": ["success", "status", "code", "accepted", "rejected"],
    "properties": {
        "success": {"const": True},
        "status": {"const": 1},
        "code": {"const": 200},
        "accepted": {"type": "integer"},
        "rejected": openapi.REJECTED,
    },
    "example": {"success": True, "status": 1, "code": 200, "accepted": 2, "rejected": []},
}
_ANYTHING: openapi.Schema = {"type": "object", "additionalProperties": True}


def add_dialect_routes(routes: APIRouter, intake: Intake) -> None:
    """Segment's and RudderStack's, Jitsu's and PostHog's."""
    dialects = _Routes(routes, intake)
    twins = "Segment, RudderStack"
    dialects.add("/v1/batch", "segment", segment.open_body, segment.parse_item, f"{twins}: a batch")
    for kind in segment.KINDS:
        one, parse = _single(kind), segment.parse_item
        dialects.add(f"/v1/{kind}", "segment", one, parse, f"{twins}: one {kind}")
        dialects.add(f"/api/s/s2s/{kind}", "jitsu", one, parse, f"Jitsu: one {kind}")
    for path, what in (("/batch/", "a batch"), ("/capture/", "one capture"), ("/i/v0/e/", "captures")):
        dialects.add(path, "posthog", posthog.open_body, posthog.parse_item, f"PostHog: {what}")


class _Routes:
    """Adds one route after the other, all alike but for the dialect."""

    def __init__(self, routes: APIRouter, intake: Intake) -> None:
        self._routes = routes
        self._intake = intake

    def add(self, path: str, dialect: str, open_body: OpenBody, parse: ParseItem, summary: str) -> None:
        async def endpoint(request: Request) -> Response:
            return await self._take(request, path, dialect, open_body, parse)

        self._routes.post(
            path,
            tags=[f"sent by other services' SDKs: {dialect}"],
            summary=summary,
            name=f"{dialect} {path}",
            responses={
                200: openapi.json_answer("The log has the accepted ones durably.", _PASSED),
                **openapi.errors(400, 401, 403, 408, 413, 415, 422, 429, 503),
            },
            openapi_extra={"requestBody": openapi.body(json=_ANYTHING)},
        )(endpoint)

    async def _take(
        self, request: Request, path: str, dialect: str, open_body: OpenBody, parse: ParseItem
    ) -> Response:
        intake = self._intake
        # A key in the headers is looked at first: without one there is no way but to read the body.
        key = await intake.key_of(request, "ingest") if presented_key(request.headers) else None
        envelope = open_body(await read_body(request))
        key = key or await intake.key_of(request, "ingest", in_body=envelope.key)
        terms = intake.terms(key, request)
        reading = intake.reading(envelope, key, terms)
        batch = read_items(envelope, parse, reading)
        intake.charge(key, batch)
        await intake.publish(batch, reading.terms, path=path, dialect=dialect)
        return _passed(batch)


def _single(kind: str) -> OpenBody:
    return lambda body: segment.open_body(body, kind)


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
