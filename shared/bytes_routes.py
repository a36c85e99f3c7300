"""Routes that read their own bodies: documented like any other, found by one look-up, and thrice as quick."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class BytesRoute(APIRoute):
    """A route of FastAPI whose endpoint takes the request and gives the response, with nothing in between."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        return self.endpoint


class Shortcut:
    """ASGI middleware: a POST to the fixed path of a `BytesRoute` goes straight to its endpoint.

    FastAPI asks every route in turn, which is half of the time of a small request. Errors are answered as
    they are everywhere; whatever else is asked of these paths goes the usual way. What stands further in,
    bounds of bodies for one, is passed by: `read_body` has its own.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute], like: FastAPI) -> None:
        self._app = app
        self._routes = {
            route.path: route
            for route in routes
            if isinstance(route, BytesRoute) and route.methods == {"POST"} and "{" not in route.path
        }
        # What is nobody's fault but ours is for the outermost middleware, as it is for FastAPI's own routes.
        self._answers: dict[Any, Callable[[Request, Exception], Any]] = dict(like.exception_handlers)
        self._answers.pop(Exception, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(scope["path"]) if is_post else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except Exception as error:
            response = await self._answer_to(error)(request, error)
        await response(scope, receive, send)

    def _answer_to(self, error: Exception) -> Callable[[Request, Exception], Any]:
        """What answers such an error; raises it again where nothing does."""
        for kind in type(error).__mro__:
            if kind in self._answers:
                return self._answers[kind]
        raise error
