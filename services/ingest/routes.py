"""The routes of ingest: events in, profiles put, customers erased; each answers once the log has it."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import native, openapi
from services.ingest.batch import Batch, profile_record
from services.ingest.customer_rows import parse_customers
from services.ingest.customers import ProfileBody, parse_profile
from services.ingest.dialect_routes import add_dialect_routes
from services.ingest.dialects import cloudevents
from services.ingest.dialects.mapping import read_items
from services.ingest.intake import IngestParts, Intake, answer
from services.ingest.limits import check_id
from shared.auth import DOCUMENTED
from shared.body import read_body
from shared.bytes_routes import BytesRoute
from shared.clock import rfc3339
from shared.errors import NotParseable, UnsupportedMediaType
from shared.events import CustomerErased, ProfileChanged, encode, record_key
from shared.log import Message

_LINES = frozenset(
    ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
)
# What curl, forms and careless clients say of JSON; the bytes decide.
_JSON = frozenset(
    (
        "",
        "application/json",
        "text/json",
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    )
)
_CSV = frozenset(
    ("", "text/csv", "application/csv", "application/vnd.ms-excel", "text/plain", "application/octet-stream")
)


def router(parts: IngestParts) -> APIRouter:
    """Every route of ingest on `parts`."""
    intake = Intake(parts)
    routes = APIRouter(route_class=BytesRoute, dependencies=[DOCUMENTED])
    _event_routes(routes, intake, parts)
    add_dialect_routes(routes, intake)
    _customer_routes(routes, intake, parts)
    return routes


def _event_routes(routes: APIRouter, intake: Intake, parts: IngestParts) -> None:
    @routes.post(
        "/v1/events",
        tags=["events"],
        summary="Post usage events",
        status_code=202,
        responses={
            202: openapi.json_answer("The log has the accepted ones durably.", openapi.ACCEPTED),
            **openapi.errors(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": openapi.events_body(), "parameters": [openapi.BACKFILL]},
    )
    async def post_events(request: Request) -> Response:
        """One event, an array of them, one a line (NDJSON), or CloudEvents 1.0; gzip is understood.

        A bad event does not fail the others: it is listed under `rejected` and kept as a dead letter.

            curl -d '{"customer_id": "c-17"}' \\
              -H "Authorization: Bearer $KEY" http://localhost:8000/v1/events
        """
        key = await intake.key_of(request, "ingest")
        terms = intake.terms(key, request)
        if cloudevents.is_one(request.headers):
            envelope = cloudevents.open_body(request.headers, await read_body(request))
            batch = read_items(envelope, cloudevents.parse_item, intake.reading(envelope, key, terms))
            dialect = "cloudevents"
        else:
            content_type = _content_type(request, _JSON | _LINES, "events are JSON, NDJSON or CloudEvents")
            lines = content_type in _LINES
            batch = native.parse(await read_body(request), terms, parts.make_id, lines=lines)
            dialect = "native"
        intake.charge(key, batch)
        await intake.publish(batch, terms, path="/v1/events", dialect=dialect)
        return answer(batch)


def _customer_routes(routes: APIRouter, intake: Intake, parts: IngestParts) -> None:
    @routes.post(
        "/v1/customers",
        tags=["customers"],
        summary="Put many customers from a spreadsheet",
        status_code=202,
        responses={
            202: openapi.json_answer("The log has the accepted rows durably.", openapi.ACCEPTED),
            **openapi.errors(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "requestBody": openapi.body(csv=_CSV_BODY),
            "parameters": [openapi.BACKFILL],
        },
    )
    async def post_customers(request: Request) -> Response:
        """CSV with a heading, as Excel saves it: UTF-8 with or without a mark, or CP932.

        The column `customer_id` is needed; known columns are the fields of a profile, every other
        becomes a property. A bad row does not fail the others.

            curl --data-binary @customers.csv -H "Content-Type: text/csv" \\
              -H "Authorization: Bearer $KEY" http://localhost:8000/v1/customers
        """
        key = await intake.key_of(request, "customers")
        _content_type(request, _CSV, "customers are posted as text/csv; one alone is put as JSON")
        terms = intake.terms(key, request)
        body = await read_body(request)
        # Ten thousand rows take a while; other requests need not wait for them.
        batch = await asyncio.to_thread(parse_customers, body, terms)
        intake.charge(key, batch)
        await intake.publish(batch, terms, path="/v1/customers", dialect="csv")
        return answer(batch)

    @routes.put(
        "/v1/customers/{customer_id:path}",
        tags=["customers"],
        summary="Put one customer's profile",
        status_code=202,
        responses={
            202: openapi.json_answer("The log has it durably.", _TAKEN),
            **openapi.errors(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "requestBody": openapi.body(json=openapi.schema_of(ProfileBody)),
            "parameters": [_CUSTOMER_ID, openapi.BACKFILL],
        },
    )
    async def put_customer(request: Request) -> Response:
        """The whole profile: what is absent is no longer told, and is then as the product has it.

        A change of zone, day start or calendar takes effect at the end of the customer's usage day.

            curl -X PUT -d '{"name": "Sakura", "time_zone": "Asia/Tokyo", "closed_weekdays": ["mon"]}' \\
              -H "Authorization: Bearer $KEY" http://localhost:8000/v1/customers/c-17
        """
        key = await intake.key_of(request, "customers")
        _content_type(request, _JSON, "a profile is JSON")
        customer_id = check_id(request.path_params["customer_id"], "customer_id")
        terms = intake.terms(key, request)
        changed = ProfileChanged(
            product=key.product,
            customer_id=customer_id,
            profile=parse_profile(_object(await read_body(request))),
            received_us=terms.now_us,
            backfill=terms.backfill,
        )
        batch = Batch(messages=[profile_record(changed)], rejected=[], profile_count=1)
        await intake.publish(batch, terms, path="/v1/customers", dialect="native")
        return _taken(customer_id, terms.now_us)

    @routes.delete(
        "/v1/customers/{customer_id:path}",
        tags=["customers"],
        summary="Erase one customer",
        status_code=202,
        responses={
            202: openapi.json_answer("The log has it durably; days, triggers and tasks go next.", _ERASING),
            **openapi.errors(401, 403, 404, 422, 429, 503),
        },
        openapi_extra={"parameters": [_CUSTOMER_ID]},
    )
    async def delete_customer(request: Request) -> Response:
        """Forget the customer: days, streaks, triggers, tasks, deliveries and dead letters.

        A moment later `GET /v1/erasures/{receipt_id}` tells what went, and when the log has let
        go of the events as well.

            curl -X DELETE -H "Authorization: Bearer $KEY" http://localhost:8000/v1/customers/c-17
        """
        key = await intake.key_of(request, "customers")
        customer_id = check_id(request.path_params["customer_id"], "customer_id")
        terms = intake.terms(key, request)
        erased = CustomerErased(
            product=key.product,
            customer_id=customer_id,
            received_us=terms.now_us,
            receipt_id=parts.make_id(),
            asked_by=key.prefix,
        )
        await intake.append([Message(value=encode(erased), key=record_key(key.product, customer_id))])
        return _taken(customer_id, terms.now_us, receipt_id=erased.receipt_id)


_CSV_BODY = {
    "type": "string",
    "example": "customer_id,name,time_zone,closed_weekdays\nc-17,Sakura,Asia/Tokyo,mon tue\n",
}
_CUSTOMER_ID = {
    "name": "customer_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_TAKEN: dict[str, Any] = {
    "type": "object",
    "required": ["customer_id", "received_at"],
    "properties": {
        "customer_id": {"type": "string"},
        "received_at": {"type": "string", "format": "date-time"},
    },
}
_ERASING = {
    "type": "object",
    "required": [*_TAKEN["required"], "receipt_id"],
    "properties": {**_TAKEN["properties"], "receipt_id": {"type": "string"}},
}


def _content_type(request: Request, allowed: frozenset[str], otherwise: str) -> str:
    """The content type without its parameters; raises UnsupportedMediaType with `otherwise`."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in allowed:
        raise UnsupportedMediaType(f"{otherwise}, not {content_type[:80]!r}")
    return content_type


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotParseable("the body is not JSON") from error
    if not isinstance(value, dict):
        raise NotParseable("a profile is a JSON object")
    return value


def _taken(customer_id: str, now_us: int, **more: str) -> Response:
    body = {"customer_id": customer_id, "received_at": rfc3339(now_us), **more}
    return Response(msgspec.json.encode(body), 202, media_type="application/json")
