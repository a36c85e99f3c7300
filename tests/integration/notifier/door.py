"""The inbox with its door: users in the database, a provider or none, browsers from anywhere."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request

from services.notifier.web.access import Viewer
from services.notifier.web.entrance import Door, Entrance
from services.notifier.web.oidc import Provider
from services.notifier.web.users import Users
from shared.body import LimitBodies
from shared.http import install_errors
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import config

URL = "https://calls.example"
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The tests ask whether a password is right, not how long it takes to guess."""


class Known:
    """Access for pages whose reader the test names."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    async def viewer(self, request: Request) -> Viewer:
        return self._viewer


class House:
    """A notifier whose inbox asks who is there."""

    def __init__(self, here: World, door: Door, provider: Provider | None) -> None:
        self.here = here
        self.users = Users(here.database, here.clock, CHEAP)
        self.entrance = Entrance(
            door,
            here.parts.config,
            here.database,
            here.clock,
            directory=self.users,
            provider=provider,
        )
        self.app = FastAPI()
        install_errors(self.app)
        self.app.add_middleware(LimitBodies)
        site = here.notifier.pages(self.entrance)
        self.routes = [route for route in site.router.routes if isinstance(route, APIRoute)]
        self.app.include_router(site.router)

    def browser(
        self, *, url: str = URL, address: str = "203.0.113.7", follow_redirects: bool = True
    ) -> httpx.AsyncClient:
        """A browser of its own."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, client=(address, 50_000)),
            base_url=url,
            headers={"origin": url, "accept-language": "en"},
            follow_redirects=follow_redirects,
        )

    async def sign_in(self, client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
        return await client.post("/sign-in", data={"name": name, "password": password})


@asynccontextmanager
async def house(
    path: Path,
    *,
    is_local: bool = False,
    url: str = URL,
    provider: Provider | None = None,
    emails: Mapping[str, str] | None = None,
) -> AsyncIterator[House]:
    """`emails`: the addresses of the configuration's CSMs."""
    base = config(playbooks=[{"on": "usage.stopped"}])
    csms = {key: csm.model_copy(update={"email": (emails or {}).get(key)}) for key, csm in base.csms.items()}
    async with world(path, base.model_copy(update={"csms": csms})) as here:
        yield House(here, Door(is_local=is_local, public_url=url), provider)
