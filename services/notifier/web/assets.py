"""Stylesheet and scripts, named by their content so that browsers may keep them for ever."""

import hashlib
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from shared.errors import NotFound

_HEADERS = {"X-Content-Type-Options": "nosniff"}
_FOR_EVER, _NOT_AT_ALL = "public, max-age=31536000, immutable", "no-store"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@lru_cache(maxsize=1)
def _assets() -> dict[str, bytes]:
    folder = files("services.notifier.web").joinpath("static")
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


def asset_url(name: str) -> str:
    """The address of an asset as it is now."""
    return f"/assets/{_digest(name)}/{name}"


@lru_cache
def _digest(name: str) -> str:
    return hashlib.sha256(_assets()[name]).hexdigest()[:12]


def add_assets(made: APIRouter) -> None:
    """The route that serves them."""

    @made.get("/assets/{digest}/{name}")
    async def show_asset(digest: str, name: str) -> Response:
        body = _assets().get(name)
        if body is None:
            raise NotFound("no such file")
        # While a new version rolls out, a page of the one may ask the other, which must not be kept as it.
        kept = _FOR_EVER if digest == _digest(name) else _NOT_AT_ALL
        media_type = _TYPES.get(name.rpartition(".")[2])
        return Response(body, media_type=media_type, headers={**_HEADERS, "Cache-Control": kept})
