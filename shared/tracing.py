"""Traces, where the environment asks for them; where it does not, nothing here does or imports anything.

A span's context leaves this process as its `traceparent` (W3C Trace Context): in a record, a row, a request.
Only a sampled span has one, so whatever carries it is worth following. A span has the parent that it is given
and no other; work that many have asked for has links to them instead (decision record 0104).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from shared.errors import ConfigError

HEADER = "traceparent"
"""What it is called in a request and in a record."""

LINKS_MAX = 128
"""As many as an SDK keeps of one span; a batch of more requests names the first ones."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

Kind = Literal["server", "client", "producer", "consumer"]
Exporter = Literal["otlp", "console"]
Attributes = Mapping[str, str | int]


class Span(Protocol):
    """A piece of work that is under way. It is told of when it ends; one that is not ended never happened."""

    @property
    def traceparent(self) -> str | None:
        """What whoever follows has to know; None where this is not sampled."""
        ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None:
        """Adds what became known only now: ids and counts, never a body or a secret."""
        ...

    def link(self, traceparents: Iterable[str]) -> None:
        """Names what this follows from; at most LINKS_MAX."""
        ...

    def fail(self, code: str) -> None:
        """It did not succeed; `code` is of a closed list, never text that somebody else wrote."""
        ...

    def end(self) -> None: ...


class Tracer(Protocol):
    """What stands behind this module while traces are made."""

    def begin(self, name: str, kind: Kind, attributes: Attributes, parent: str | None) -> Span: ...

    def close(self) -> None:
        """Tells of what has ended, and of nothing more; bounded in time."""
        ...


class _NoSpan:
    traceparent: str | None = None

    def rename(self, name: str) -> None: ...
    def note(self, attributes: Attributes) -> None: ...
    def link(self, traceparents: Iterable[str]) -> None: ...
    def fail(self, code: str) -> None: ...
    def end(self) -> None: ...


NO_SPAN: Span = _NoSpan()

_tracer: Tracer | None = None
_current: ContextVar[Span] = ContextVar("span", default=NO_SPAN)


def is_on() -> bool:
    """Whether traces are made: to be asked before anything is gathered for them."""
    return _tracer is not None


def current() -> str | None:
    """The traceparent of the span within which the caller runs."""
    return _current.get().traceparent


def headers() -> dict[str, str]:
    """What a request to somebody else has to say, so that the trace goes on there."""
    traceparent = current()
    return {} if traceparent is None else {HEADER: traceparent}


def log_ids(traceparent: str | None) -> dict[str, str]:
    """A trace as log lines name it, so that one is found from the other."""
    if traceparent is None:
        return {}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"trace_id": trace_id, "span_id": span_id}


def note(attributes: Attributes) -> None:
    """Adds to the span within which the caller runs."""
    _current.get().note(attributes)


def begin(
    name: str,
    kind: Kind,
    attributes: Attributes | None = None,
    *,
    parent: str | None = None,
    links: Iterable[str] = (),
) -> Span:
    """A span that its caller ends, and within which nothing runs; without a parent it begins a trace."""
    if _tracer is None:
        return NO_SPAN
    begun = _tracer.begin(name, kind, attributes or {}, parent)
    begun.link(links)
    return begun


@contextmanager
def span(
    name: str,
    kind: Kind,
    attributes: Attributes | None = None,
    *,
    parent: str | None = None,
    links: Iterable[str] = (),
) -> Iterator[Span]:
    """A span around a block; what the block raises fails it, by the name of its class alone.

    To be cancelled is no failure: most often a browser has closed its page.
    """
    begun = begin(name, kind, attributes, parent=parent, links=links)
    token = _current.set(begun)
    try:
        yield begun
    except Exception as error:
        begun.fail(type(error).__name__)
        raise
    finally:
        _current.reset(token)
        begun.end()


def exporter_of(environment: Mapping[str, str]) -> Exporter | None:
    """Where the environment wants traces to go; None: nowhere. Raises ConfigError for what we have not."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    default = "otlp" if any(environment.get(name) for name in ENDPOINTS) else "none"
    wanted = environment.get("OTEL_TRACES_EXPORTER", "").strip() or default
    if wanted == "none":
        return None
    if wanted == "console":
        return "console"
    if wanted != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {wanted!r}; it can be otlp, console or none")
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; traces are sent by {PROTOCOL} alone")
    return "otlp"


def opened(environment: Mapping[str, str], service: str, *, messaging: str) -> AbstractContextManager[None]:
    """Makes traces for a block, if the environment asks for them.

    `service` is the name under which they are found unless the environment has another, `messaging` the
    system that carries the records. Raises ConfigError for a wish that cannot be met.
    """
    exporter = exporter_of(environment)
    return made_by(None if exporter is None else _tracer_for(exporter, service, messaging))


@contextmanager
def made_by(tracer: Tracer | None) -> Iterator[None]:
    """Lets `tracer` make the traces of a block, and closes it; None: nobody makes any."""
    global _tracer
    _tracer, before = tracer, _tracer
    try:
        yield
    finally:
        _tracer = before
        if tracer is not None:
            tracer.close()


def _tracer_for(exporter: Exporter, service: str, messaging: str) -> Tracer:
    try:
        from shared.tracing_sdk import exporting_tracer
    except ImportError as error:
        raise ConfigError(
            "the environment asks for traces (OTEL_*), which need the extra `otel`: "
            "pip install 'usage-triggers[otel]'"
        ) from error
    return exporting_tracer(exporter, service, messaging)
