"""Sets up logging: JSON lines for machines, coloured lines on a terminal, secrets in neither."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from shared import tracing

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
HIDDEN = "[hidden]"

_SECRET_NAMES = re.compile(
    r"secret|password|token|authorization|api_key|cookie|signature|dsn|_url$|^url$", re.I
)
_SECRET_TEXT = re.compile(
    r"ut_[A-Za-z0-9_-]{12,}"  # our own API keys
    r"|whsec_[A-Za-z0-9+/=]+"  # webhook secrets
    r"|hooks\.slack\.com/\S+"  # a Slack webhook's URL is its password
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password in a URL
)


def configure_logging(level: str, *, stream: TextIO = sys.stderr) -> None:
    """Sends structlog and the libraries' own loggers to `stream`; call once, at start."""
    pretty = stream.isatty()
    threshold = logging.getLevelName(level.upper())
    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if pretty else [structlog.processors.format_exc_info]),
        hide_secrets,
    ]
    renderer = _console() if pretty else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared_steps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    _adopt_library_loggers(threshold, [*shared_steps, renderer], stream)


def add_trace(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the trace within which something is said, where there is one."""
    return {**tracing.log_ids(tracing.current()), **entry}


def hide_secrets(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values whose name or looks say secret are not written."""
    for name, value in entry.items():
        if name != "event" and _SECRET_NAMES.search(name):
            entry[name] = HIDDEN
        elif isinstance(value, str):
            entry[name] = _SECRET_TEXT.sub(HIDDEN, value)
    return entry


def _console() -> structlog.typing.Processor:
    # Without local variables: a rich traceback prints them, and they hold keys and addresses.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(exception_formatter=plain)


def _adopt_library_loggers(level: int, steps: list[structlog.typing.Processor], stream: TextIO) -> None:
    """Lets uvicorn, sqlalchemy and aiokafka speak through the same steps, from warnings on."""
    *before, renderer = steps
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=before))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
