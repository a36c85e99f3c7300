"""A span for each HTTP request, named by its route: a path holds customers' ids, a query may hold secrets."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import tracing

UNTRACED = ("/healthz", "/readyz", "/metrics", "/assets/")
"""What paths begin with that machines ask for every few seconds, and browsers for every page."""


class TracedRequests:
    """ASGI middleware: goes on with the trace that the sender has begun, or begins one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        known = {"http.request.method": method, "url.scheme": scope["scheme"]}
        parent = Headers(scope=scope).get(tracing.HEADER)
        with tracing.span(method, "server", known, parent=parent) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, watched)
            finally:
                if route := getattr(scope.get("route"), "path", ""):
                    span.rename(f"{method} {route}")
                    span.note({"http.route": route})


def _note_status(span: tracing.Span, status: int) -> None:
    span.note({"http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
