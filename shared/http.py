"""What every HTTP surface shares: errors as JSON, probes and request metrics.

Bodies with limits are read by `shared/body.py`, keys are checked by `shared/auth.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    NotParseable,
    PermanentError,
    RateLimited,
    RequestTimeout,
    TooLarge,
    TransientError,
    Unauthorized,
    UnsupportedMediaType,
    UsageTriggersError,
)
from shared.metrics import REGISTRY, REQUEST_SECONDS

CHECK_SECONDS_MAX = 2.0

Check = Callable[[], Awaitable[object]]
"""Returns when the thing answers; raises a UsageTriggersError whose message says what is missing."""

_STATUS: Mapping[type[UsageTriggersError], int] = {
    NotParseable: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    RequestTimeout: 408,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    InvalidInput: 422,
    RateLimited: 429,
    TransientError: 503,
    PermanentError: 500,
    UsageTriggersError: 500,
}

_CODE_OF_STATUS = {
    400: "not_parseable",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
}


class ErrorBody(BaseModel):
    """The body of every answer that is not a success; `code` is stable, the rest is for people."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    detail: str


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in (
        (400, "A body that is not JSON."),
        (401, "No API key, an unknown one or a revoked one."),
        (403, "The API key lacks the scope that this takes."),
        (404, "Nothing there, or nothing that this key may see."),
        (408, "A body that did not arrive within half a minute."),
        (413, "A body of more than a megabyte."),
        (422, "Understood, but not acceptable; the message says which field."),
        (503, "Log or database do not answer; try again after `Retry-After` seconds."),
    )
}
"""For `responses=` of a route: the statuses that any route with an API key can answer."""


def status_of(error: UsageTriggersError) -> int:
    """The HTTP status of an error, by the nearest class that has one."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def error_response(error: UsageTriggersError) -> Response:
    """An error of ours as its sender sees it."""
    headers = {}
    if isinstance(error, TransientError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="usage-triggers"'
    return _error(status_of(error), error.code, error.message, headers=headers)


def install_errors(app: FastAPI) -> None:
    """Every failure of `app` becomes JSON with `code`, `message` and `detail`; none shows a traceback."""
    app.add_exception_handler(UsageTriggersError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


def probes(checks: Mapping[str, Check], *, seconds_max: float = CHECK_SECONDS_MAX) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`.

    Liveness looks at nothing but this process: a restart mends no database. Readiness asks every
    check at once, each for `seconds_max` at the most, and says which of them fails.
    """
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Is this process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it do its work, and if not, what is missing?",
        responses={503: {"model": ErrorBody, "description": "Something is missing; `checks` says what."}},
    )
    async def readyz() -> Response:
        answers = await asyncio.gather(*(_answer_of(check, seconds_max) for check in checks.values()))
        return _readiness(dict(zip(checks, answers, strict=True)))

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return router


class RequestMetrics:
    """ASGI middleware: how long each request took, by route template and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The template and never the path: a path holds customers' ids, one series each.
            route = getattr(scope.get("route"), "path", "")
            _seconds(scope["method"], route, status).observe(time.perf_counter() - started)


@lru_cache(1024)  # prometheus_client takes a lock and makes text of each label, at every request
def _seconds(method: str, route: str, status: int) -> Histogram:
    return REQUEST_SECONDS.labels(method, route, status)


def _error(
    status: int,
    code: str,
    message: str,
    *,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    # RudderStack's Python SDK reads `code` and `message`, PostHog's reads `detail`; without them
    # they take any refusal for an outage and send it again for ever.
    body = msgspec.json.encode({"code": code, "message": message, "detail": detail or message})
    return Response(body, status, dict(headers or {}), "application/json")


async def _on_own_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UsageTriggersError)
    return error_response(error)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(problem["type"] == "json_invalid" for problem in found):
        return _error(400, NotParseable.code, "the body is not JSON")
    lines = [f"{_place(problem['loc'])}: {_said(problem)}" for problem in found]
    return _error(422, InvalidInput.code, lines[0], detail="; ".join(lines))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "failed")
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return _error(error.status_code, code, str(error.detail).lower(), headers=headers)


def _allowed(request: Request) -> str:
    """Every method of the path: the router names those of the first route alone."""
    methods = {
        method
        for route in request.app.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }
    return ", ".join(sorted(methods))


async def _on_disconnect(_request: Request, _error_: Exception) -> Response:
    return _error(400, NotParseable.code, "the connection ended in the middle of the body")


async def _on_bug(_request: Request, _error_: Exception) -> Response:
    # The server writes the traceback to its own log; the sender only learns that it may try again.
    return _error(500, "internal", "an error on our side; it is in the service's log")


def _said(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown field"
    return str(problem["msg"]).removeprefix("Value error, ")


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc[1:]) or str(loc[0]) if loc else "request"


async def _answer_of(check: Check, seconds_max: float) -> str:
    """What `check` found: "ok", or one line that says what is missing."""
    try:
        async with asyncio.timeout(seconds_max):
            await check()
    except UsageTriggersError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {seconds_max:g} seconds"
    return "ok"


def _readiness(answers: Mapping[str, str]) -> Response:
    missing = [f"{name}: {answer}" for name, answer in answers.items() if answer != "ok"]
    if not missing:
        return Response(
            msgspec.json.encode({"status": "ok", "checks": answers}), 200, media_type="application/json"
        )
    body = {"code": "not_ready", "message": missing[0], "detail": "; ".join(missing), "checks": answers}
    return Response(msgspec.json.encode(body), 503, {"Retry-After": "1"}, "application/json")
