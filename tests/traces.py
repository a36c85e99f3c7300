"""Spans kept in memory, for tests that look at what was told of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from shared import tracing
from shared.tracing_sdk import SdkTracer

REQUEST = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""The context of somebody who posts an event, as the W3C's own example has it."""


class SpanSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended; contexts are traceparents."""

    name: str
    kind: str
    traceparent: str
    parent: str | None
    links: tuple[str, ...]
    attributes: Mapping[str, object]
    is_error: bool

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]


class Traces:
    """What has ended so far, in that order."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[SpanSeen]:
        return [_seen(span) for span in self._exporter.get_finished_spans()]

    def named(self, name: str) -> list[SpanSeen]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> SpanSeen:
        """The only span of this name."""
        (found,) = self.named(name)
        return found

    def text(self) -> str:
        """All that was told, to look for what must not be in it."""
        return "\n".join(span.to_json() for span in self._exporter.get_finished_spans())


@contextmanager
def traced(messaging: str = "usage-triggers") -> Iterator[Traces]:
    """Traces are made within the block; whatever is wired in it is wired for them."""
    exporter = InMemorySpanExporter()
    with tracing.made_by(SdkTracer(SimpleSpanProcessor(exporter), "usage-triggers", messaging)):
        yield Traces(exporter)


def _seen(span: ReadableSpan) -> SpanSeen:
    assert span.context is not None
    return SpanSeen(
        name=span.name,
        kind=span.kind.name.lower(),
        traceparent=_text(span.context),
        parent=None if span.parent is None else _text(span.parent),
        links=tuple(_text(link.context) for link in span.links),
        attributes=dict(span.attributes or {}),
        is_error=not span.status.is_ok and not span.status.is_unset,
    )


def _text(context: SpanContext) -> str:
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-01"
