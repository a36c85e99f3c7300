"""A request's trace from its sender into the log, and what of the request is not in it."""

from pathlib import Path

import httpx
import pytest

from services.bootstrap import assemble
from services.foundations import embedded
from shared.clock import SystemClock
from shared.config import DEFAULT_PRODUCT, default_config
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS
from shared.settings import Settings
from tests.traces import REQUEST, Traces, traced

SECRET_BODY = {"customer_id": "c-17", "properties": {"iban": "DE89370400440532013000"}}


async def post(directory: Path, *bodies: object, path: str = "/v1/events", **headers: str) -> list[int]:
    """Posts to all three services in one process; the statuses."""
    settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": directory})
    async with embedded(default_config(), settings, SystemClock()) as base:
        assembly = assemble(base)
        key = await base.keys.create(DEFAULT_PRODUCT)
        transport = httpx.ASGITransport(assembly.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            sent = {"Authorization": f"Bearer {key}", **headers}
            answers = [await http.post(path, json=body, headers=sent) for body in bodies]
        await assembly.close()
    return [answer.status_code for answer in answers]


def request_span(traces: Traces) -> str:
    return traces.one("POST /v1/events").traceparent


async def test_a_request_goes_on_with_its_senders_trace_and_so_does_its_append(tmp_path: Path) -> None:
    with traced() as traces:
        assert await post(tmp_path, SECRET_BODY, traceparent=REQUEST) == [202]
    append, request = traces.spans
    assert (request.name, request.kind, request.parent) == ("POST /v1/events", "server", REQUEST)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "http.route": "/v1/events",
        "url.scheme": "http",
    }
    assert (append.name, append.kind) == (f"append {TOPIC_EVENTS}", "producer")
    assert append.parent == request.traceparent
    assert append.attributes["messaging.batch.message_count"] == 1


async def test_neither_a_body_nor_a_key_nor_a_query_is_told(tmp_path: Path) -> None:
    with traced() as traces:
        await post(tmp_path, SECRET_BODY, path="/v1/events?backfill=true&code=hunter2")
    told = traces.text()
    assert "/v1/events" in told
    assert [secret for secret in ("DE8937", "ut_", "Bearer", "hunter2", "c-17") if secret in told] == []


async def test_a_path_is_told_as_its_route_because_it_holds_customers_ids(tmp_path: Path) -> None:
    with traced() as traces:
        await post(tmp_path, {}, path="/v1/tasks/some-task/done")
        await post(tmp_path, {}, path="/nowhere/c-17")
    known, unknown = (span for span in traces.spans if span.kind == "server")
    assert known.name == "POST /v1/tasks/{task_id}/done"
    assert (unknown.name, unknown.attributes["http.response.status_code"]) == ("POST", 404)


async def test_a_dead_letter_carries_the_context_of_the_request_that_was_refused(tmp_path: Path) -> None:
    with traced() as traces:
        assert await post(tmp_path, {"customer_id": ""}) == [422]
    assert traces.one(f"append {TOPIC_DEAD_LETTERS}").parent == request_span(traces)
    assert not traces.one("POST /v1/events").is_error, "the sender was wrong, not we"


@pytest.mark.parametrize("probe", ["/healthz", "/readyz", "/metrics", "/assets/0/inbox.css"])
async def test_what_machines_ask_for_by_themselves_is_not_traced(tmp_path: Path, probe: str) -> None:
    with traced() as traces:
        await post(tmp_path, {}, path=probe)
    assert traces.spans == []
