"""Ingest as an application of its own: its routes, probes, errors and documentation wired together."""

from fastapi import FastAPI

from services.ingest.intake import IngestParts
from services.ingest.routes import router
from shared.api_page import install_api_page
from shared.bytes_routes import Shortcut
from shared.http import RequestMetrics, install_errors, probes

__all__ = ["IngestParts", "create_app", "router"]


def create_app(parts: IngestParts) -> FastAPI:
    """The application of `usage-triggers ingest`."""
    app = FastAPI(
        title="usage-triggers: ingest",
        summary="Usage events and customers' profiles in.",
        docs_url=None,
        redoc_url=None,
    )
    install_errors(app)
    routes = router(parts)
    app.add_middleware(Shortcut, routes=routes.routes, like=app)
    app.add_middleware(RequestMetrics)
    app.include_router(routes)
    app.include_router(probes({"log": parts.log.check, "keys": parts.keys.check}))
    install_api_page(app)
    return app
