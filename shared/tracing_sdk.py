"""What makes the spans of `shared.tracing`: OpenTelemetry's SDK, which nobody else imports.

The SDK reads its own settings from the environment (`OTEL_*`): where to send, as whom, how much to sample.
"""

import sys
import threading
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState, get_current_span
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import Attributes as SdkAttributes

from shared.tracing import HEADER, LINKS_MAX, Attributes, Exporter, Kind

CLOSE_SECONDS_MAX = 3.0
"""What the last spans may take on their way; a collector that is away keeps no service from ending."""

_KINDS: Mapping[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_w3c = TraceContextTextMapPropagator()
_getter = DefaultGetter()


class FollowingSampler(Sampler):
    """The sampler that was asked for decides about requests; what follows from one that was sampled is
    sampled too, and so is every decision: there are few, and each may send a person to the telephone."""

    def __init__(self, of_requests: Sampler) -> None:
        self._of_requests = of_requests
        self._of_others = ParentBased(ALWAYS_ON)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: SdkAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        chosen = self._of_requests if kind is SpanKind.SERVER else self._of_others
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"FollowingSampler({self._of_requests.get_description()})"


class SdkTracer:
    """Implements shared.tracing.Tracer; `processor` gets what has ended."""

    def __init__(self, processor: SpanProcessor, service: str, messaging: str) -> None:
        resource = Resource({"service.name": service}).merge(OTELResourceDetector().detect())
        # Made without a sampler, the provider takes the one that the environment names.
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.sampler = FollowingSampler(provider.sampler)
        provider.add_span_processor(processor)
        self._provider = provider
        self._tracer = provider.get_tracer("usage-triggers")
        self._messaging = {"messaging.system": messaging}

    def begin(self, name: str, kind: Kind, attributes: Attributes, parent: str | None) -> "_Span":
        if kind in ("producer", "consumer"):
            attributes = {**self._messaging, **attributes}
        begun = self._tracer.start_span(
            name, context=_context_of(parent), kind=_KINDS[kind], attributes=dict(attributes)
        )
        return _Span(begun)

    def close(self) -> None:
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS_MAX)


class _Span:
    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        self.traceparent = _traceparent_of(span.get_span_context())

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def link(self, traceparents: Iterable[str]) -> None:
        for traceparent in list(dict.fromkeys(traceparents))[:LINKS_MAX]:
            context = get_current_span(_context_of(traceparent)).get_span_context()
            if context.is_valid:
                self._span.add_link(context)

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


def exporting_tracer(exporter: Exporter, service: str, messaging: str) -> SdkTracer:
    """Sends to a collector by OTLP, or writes a line of JSON a span to standard error."""
    return SdkTracer(BatchSpanProcessor(_exporter(exporter)), service, messaging)


def _exporter(exporter: Exporter) -> SpanExporter:
    if exporter == "console":
        return ConsoleSpanExporter(out=sys.stderr, formatter=_line)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _context_of(traceparent: str | None) -> Context:
    """The context in which a span begins: with a remote parent, or, where that is none or nonsense, empty."""
    carrier = {} if traceparent is None else {HEADER: traceparent}
    return _w3c.extract(carrier, Context(), _getter)


def _traceparent_of(context: SpanContext) -> str | None:
    if not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
