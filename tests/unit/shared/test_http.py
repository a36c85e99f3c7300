"""Errors as JSON, probes and request metrics, on a small application of their own."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import Body, FastAPI

import shared.errors
import shared.http
from shared.errors import (
    Conflict,
    InvalidInput,
    LogUnavailable,
    NotFound,
    RateLimited,
    StoreUnavailable,
    Unauthorized,
    UsageTriggersError,
)
from shared.http import RequestMetrics, install_errors, probes, status_of
from shared.metrics import REGISTRY


def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://ingest")


def app_raising(error: Exception) -> FastAPI:
    app = FastAPI()
    install_errors(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    return app


def every_error() -> set[type[UsageTriggersError]]:
    found, waiting = set(), [UsageTriggersError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return {kind for kind in found if kind.__module__ == shared.errors.__name__}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("x"), 422),
        (Unauthorized("x"), 401),
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (RateLimited("x"), 429),
        (LogUnavailable("x"), 503),
    ],
)
async def test_an_error_of_ours_has_its_status_and_three_fields(
    error: UsageTriggersError, status: int
) -> None:
    async with client(app_raising(error)) as http:
        answer = await http.get("/")
    assert answer.status_code == status
    assert answer.json() == {"code": error.code, "message": "x", "detail": "x"}


def test_every_error_has_a_status() -> None:
    for kind in every_error():
        status = status_of(kind("x"))
        assert 400 <= status < 600
        assert issubclass(kind, shared.errors.TransientError) == (status in (408, 429, 503))


async def test_what_may_succeed_later_says_when_to_try_again() -> None:
    async with client(app_raising(RateLimited("too much", retry_after_seconds=7))) as http:
        assert (await http.get("/")).headers["retry-after"] == "7"


async def test_a_missing_key_is_told_how_to_show_one() -> None:
    async with client(app_raising(Unauthorized("no key"))) as http:
        assert (await http.get("/")).headers["www-authenticate"].startswith("Bearer")


async def test_a_bug_shows_no_traceback() -> None:
    async with client(app_raising(RuntimeError("secret detail"))) as http:
        answer = await http.get("/")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


async def test_unknown_paths_and_methods_answer_in_the_same_form() -> None:
    async with client(app_raising(InvalidInput("x"))) as http:
        unknown, method = await http.get("/nowhere"), await http.post("/")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "GET"


async def test_a_method_that_a_path_lacks_is_told_those_that_it_has() -> None:
    app = app_raising(InvalidInput("x"))

    @app.put("/")
    async def put() -> None: ...

    async with client(app) as http:
        assert (await http.delete("/")).headers["allow"] == "GET, PUT"


async def test_a_body_that_does_not_fit_names_the_field() -> None:
    app = FastAPI()
    install_errors(app)

    @app.post("/")
    async def take(age: Annotated[int, Body(embed=True)]) -> int:
        return age

    async with client(app) as http:
        wrong = await http.post("/", json={"age": "many"})
        broken = await http.post("/", content=b"{", headers={"content-type": "application/json"})
    assert wrong.status_code == 422
    assert wrong.json()["message"].startswith("age: ")
    assert (broken.status_code, broken.json()["code"]) == (400, "not_parseable")


async def answers() -> None:
    return None


async def fails() -> None:
    raise StoreUnavailable("the database does not answer: refused")


async def never_answers() -> None:
    await asyncio.Event().wait()


def probed(**checks: shared.http.Check) -> FastAPI:
    app = FastAPI()
    app.include_router(probes(checks))
    return app


async def test_liveness_does_not_ask_the_checks() -> None:
    async with client(probed(store=fails)) as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_readiness_tells_each_check() -> None:
    async with client(probed(log=answers)) as http:
        ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"log": "ok"})


async def test_readiness_says_what_is_missing() -> None:
    async with client(probed(log=answers, store=fails)) as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["message"] == "store: the database does not answer: refused"
    assert answer.json()["checks"]["log"] == "ok"


async def test_a_check_that_never_answers_does_not_hold_readiness_up() -> None:
    app = FastAPI()
    app.include_router(probes({"log": never_answers}, seconds_max=0.01))
    async with client(app) as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert "no answer" in answer.json()["checks"]["log"]


async def test_metrics_name_the_route_and_never_the_path() -> None:
    app = FastAPI()
    app.add_middleware(RequestMetrics)
    app.include_router(probes({}))

    @app.get("/customers/{customer_id}")
    async def customer(customer_id: str) -> str:
        return customer_id

    async with client(app) as http:
        await http.get("/customers/c-17-private")
        text = (await http.get("/metrics")).text
    assert 'route="/customers/{customer_id}",status="200"' in text
    assert "c-17-private" not in text


def test_every_metric_is_ours_or_the_process_s() -> None:
    for metric in REGISTRY.collect():
        assert metric.name.startswith(("usage_triggers_", "process_", "python_"))
