"""Traces: asked for by the environment alone, nothing where they are not, and never a secret in them."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import tracing
from shared.errors import ConfigError
from shared.tracing_sdk import SdkTracer
from tests.traces import REQUEST, traced

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
UNSAMPLED = f"{REQUEST[:-2]}00"
IMPORTED = """
import sys
import services.commands.running, services.evaluator.worker, services.ingest.routes, services.notifier.wiring
import shared.log.embedded, shared.log.kafka
print(*(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))))
"""


@pytest.mark.parametrize(
    ("environment", "exporter"),
    [
        ({}, None),
        (ENDPOINT, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
        (
            {
                **ENDPOINT,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            "otlp",
        ),
    ],
)
def test_traces_go_where_the_environment_says(environment: dict[str, str], exporter: str | None) -> None:
    assert tracing.exporter_of(environment) == exporter


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "it can be otlp, console or none"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "traces are sent by http/protobuf alone"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_at_start(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tracing.exporter_of(wrong)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shared.tracing_sdk", None)
    with pytest.raises(ConfigError, match=r"usage-triggers\[otel\]"):
        tracing.opened(ENDPOINT, "usage-triggers", messaging="kafka")


def test_nothing_of_the_sdk_is_imported_while_nobody_asks_for_traces() -> None:
    found = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_while_nobody_asks_for_traces_there_is_no_context_to_hand_on() -> None:
    with tracing.opened({}, "usage-triggers", messaging="kafka"):
        assert not tracing.is_on()
        with tracing.span("work", "server", parent=REQUEST) as span:
            assert (span.traceparent, tracing.current()) == (None, None)


def test_a_span_goes_on_with_the_trace_of_its_parent_and_is_current_within_its_block() -> None:
    with traced() as traces:
        with tracing.span("work", "server", parent=REQUEST) as span:
            assert tracing.current() == span.traceparent
        assert tracing.current() is None
    seen = traces.one("work")
    assert (seen.trace_id, seen.parent) == (REQUEST.split("-")[1], REQUEST)


def test_a_span_without_a_parent_begins_a_trace_also_within_another_one() -> None:
    with traced() as traces, tracing.span("outer", "server"), tracing.span("inner", "client"):
        pass
    inner, outer = traces.spans
    assert inner.parent is None
    assert inner.trace_id != outer.trace_id


def test_links_name_each_context_once_and_no_more_than_are_kept() -> None:
    many = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 2 * tracing.LINKS_MAX)]
    with traced() as traces:
        tracing.begin("some", "consumer", links=[REQUEST, "nonsense", REQUEST]).end()
        tracing.begin("many", "consumer", links=many).end()
    assert traces.one("some").links == (REQUEST,)
    assert len(traces.one("many").links) == tracing.LINKS_MAX


@pytest.mark.parametrize("nonsense", ["", "00", "ff-xyz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é"])
def test_a_parent_that_is_none_begins_a_trace(nonsense: str) -> None:
    with traced() as traces:
        tracing.begin("work", "server", parent=nonsense).end()
    assert traces.one("work").parent is None


def test_what_a_sender_has_not_sampled_leaves_nothing_to_hand_on() -> None:
    with traced() as traces, tracing.span("work", "server", parent=UNSAMPLED) as span:
        assert span.traceparent is None
    assert traces.spans == []


def test_a_decision_is_traced_however_few_requests_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    with traced() as traces:
        tracing.begin("POST /v1/events", "server").end()
        tracing.begin("decide usage.stopped", "producer").end()
    assert [span.name for span in traces.spans] == ["decide usage.stopped"]


def test_a_failure_is_told_by_its_class_and_not_by_what_it_said() -> None:
    with traced() as traces, pytest.raises(ValueError, match="hunter2"), tracing.span("work", "client"):
        raise ValueError("the password hunter2 is wrong")
    assert traces.one("work").is_error
    assert traces.one("work").attributes["error.type"] == "ValueError"
    assert "hunter2" not in traces.text()


def test_work_that_is_cancelled_has_not_failed() -> None:
    with traced() as traces, pytest.raises(asyncio.CancelledError), tracing.span("GET /live", "server"):
        raise asyncio.CancelledError
    assert not traces.one("GET /live").is_error


def test_the_environment_may_give_the_service_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "calls")
    exporter = InMemorySpanExporter()
    with tracing.made_by(SdkTracer(SimpleSpanProcessor(exporter), "usage-triggers", "kafka")):
        tracing.begin("work", "consumer").end()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "calls"
    assert span.attributes is not None
    assert span.attributes["messaging.system"] == "kafka"


class Collector(ThreadingHTTPServer):
    """Takes what is exported and keeps it, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collecting)
        self.received: list[tuple[str, ExportTraceServiceRequest]] = []


class _Collecting(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        return


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        serving = Thread(target=collector.serve_forever)
        serving.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            serving.join()


def test_spans_go_to_a_collector_by_otlp_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        with tracing.opened(os.environ, "usage-triggers-ingest", messaging="kafka"):
            tracing.begin("POST /v1/events", "server").end()
        ((path, request),) = collector.received
    (resource,) = request.resource_spans
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (path, attributes["service.name"]) == ("/v1/traces", "usage-triggers-ingest")
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["POST /v1/events"]


def test_on_a_console_a_span_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with tracing.opened({"OTEL_TRACES_EXPORTER": "console"}, "usage-triggers", messaging="kafka"):
        tracing.begin("one", "server").end()
        tracing.begin("two", "server").end()
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["one", "two"]
