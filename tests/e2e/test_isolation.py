"""Every documented route of the whole service, asked without a key, without its scope, and by a stranger."""

import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import LargeBinary, Text, cast, select

from services.bootstrap import Assembly, Foundations, assemble
from services.foundations import embedded
from services.notifier.channels.http import Answer, Request
from shared import schema
from shared.auth import SCOPES, KeyRing, Scope
from shared.clock import ManualClock
from shared.config import Config
from shared.settings import Settings
from tests.e2e.route_examples import CUSTOMER, EXAMPLES, PUBLIC, Example
from tests.stepping import settle

PRODUCT = {
    "rules": {"first": {"kind": "streak", "days": 1, "emit": "first.day"}},
    "playbooks": [{"on": "first.day", "send": ["phone"]}],
}
SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1waG9uZS10b29s"
CONFIG = Config.model_validate(
    {
        "products": {"reserve": PRODUCT, "pos": PRODUCT},
        "channels": {
            "phone": {
                "kind": "webhook",
                "url": "https://phone.example/calls",
                "secret": SECRET,
                "timing": "at_once",
            }
        },
    }
)
OWNED = (schema.erasures, schema.customers, schema.outbox, schema.tasks, schema.deliveries)


class Nobody:
    """Takes every delivery."""

    async def send(self, request: Request) -> Answer:
        return Answer(status=200)

    async def close(self) -> None:
        return


class World:
    """The whole service with a customer of `reserve` who has days, a trigger, a task and a delivery."""

    def __init__(self, base: Foundations, assembly: Assembly, clock: ManualClock) -> None:
        self.app = assembly.app
        self.keys: KeyRing = base.keys
        self.names: Mapping[str, str] = {}
        self._database = base.database
        self._assembly = assembly
        self._clock = clock

    async def fill(self) -> None:
        owner = await self.client("reserve", *SCOPES)
        async with owner:
            await owner.post("/v1/events", json={"customer_id": "gone"})
            await self.settle()
            erasing = await owner.delete("/v1/customers/gone")
            await owner.put(f"/v1/customers/{CUSTOMER}", json={"name": "鮨 はやし"})
            await owner.post("/v1/events", json={"customer_id": CUSTOMER})
            await self.settle()
            [task] = (await owner.get("/v1/tasks")).json()["tasks"]
            [delivery] = (await owner.get("/v1/deliveries")).json()["deliveries"]
        self.names = {
            "customer": CUSTOMER,
            "task": task["id"],
            "delivery": delivery["id"],
            "receipt": erasing.json()["receipt_id"],
        }

    async def client(self, product: str | None, *scopes: Scope) -> httpx.AsyncClient:
        """A client with a new key of `product`, or with none."""
        key = await self.keys.create(product, scopes=scopes) if product else None
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://here",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )

    async def send(self, http: httpx.AsyncClient, method: str, example: Example) -> httpx.Response:
        return await http.request(
            method,
            example.path.format(**self.names),
            json=example.body,
            content=example.content,
            headers=example.headers,
        )

    async def settle(self) -> None:
        await settle(self._assembly, self._clock)

    async def owned(self) -> list[tuple[Any, ...]]:
        """Every row that belongs to `reserve`, and every record of its customers in the log."""
        rows: list[tuple[Any, ...]] = []
        async with self._database.read() as connection:
            for table in OWNED:
                query = select(table).where(table.c.product == "reserve")
                rows += [(table.name, *row) for row in await connection.execute(query)]
            log = schema.log_records
            query = select(log).where(cast(cast(log.c.key, LargeBinary), Text).like("reserve/%"))
            rows += [("log", *row) for row in await connection.execute(query)]
        return rows


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": tmp_path})
    async with embedded(CONFIG, settings, clock) as opened:
        nobody = Nobody()
        base = msgspec.structs.replace(opened, open_client=lambda _private: nobody, random=random.Random(1))
        assembly = assemble(base)
        here = World(base, assembly, clock)
        await here.fill()
        yield here
        await assembly.close()


def documented(world: World) -> set[tuple[str, str]]:
    paths = world.app.openapi()["paths"]
    return {(method, path) for path, methods in paths.items() for method in methods}


async def test_every_documented_route_has_an_example_here_and_says_that_it_takes_a_key(world: World) -> None:
    assert documented(world) == EXAMPLES.keys() | PUBLIC
    paths = world.app.openapi()["paths"]
    keyed = {route for route in documented(world) if "security" in paths[route[1]][route[0]]}
    assert keyed == set(EXAMPLES)


async def test_the_owner_gets_in_by_every_example(world: World) -> None:
    # Else the others below could pass for a request that nobody would have taken.
    async with await world.client("reserve", *SCOPES) as http:
        for (method, path), example in sorted(EXAMPLES.items(), key=lambda one: one[0][0] == "delete"):
            answer = await world.send(http, method, example)
            assert answer.status_code in (200, 202, 409), (method, path, answer.text)


async def test_without_a_key_or_with_an_invented_one_no_route_opens(world: World) -> None:
    before = await world.owned()
    for invented in (None, "ut_00000000_" + "A" * 43, "no key at all"):
        async with await world.client(None) as http:
            if invented:
                http.headers["Authorization"] = f"Bearer {invented}"
            for (method, path), example in EXAMPLES.items():
                answer = await world.send(http, method, example)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path)
    await world.settle()
    assert await world.owned() == before


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != "admin"])
async def test_a_key_opens_the_routes_of_its_own_scope_alone(world: World, scope: Scope) -> None:
    before = await world.owned()
    async with await world.client("reserve", scope) as http:
        for (method, path), example in EXAMPLES.items():
            if example.scope != scope:
                answer = await world.send(http, method, example)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
    await world.settle()
    assert await world.owned() == before


async def test_a_stranger_with_every_scope_sees_nothing(world: World) -> None:
    nobody = dict.fromkeys(world.names, "nobody-99")
    async with await world.client("pos", *SCOPES) as http:
        for (method, path), example in EXAMPLES.items():
            if method != "get" and example.told != 404:
                continue  # What a stranger writes is its own.
            answer = await world.send(http, method, example)
            assert answer.status_code == example.told, (method, path, answer.text)
            unknown = await http.request(method, example.path.format(**nobody), json=example.body)
            assert _without(answer, world.names) == _without(unknown, nobody), (method, path)


async def test_a_stranger_with_every_scope_changes_nothing(world: World) -> None:
    before = await world.owned()
    assert {row[0] for row in before} == {"erasures", "customers", "outbox", "tasks", "deliveries", "log"}
    async with await world.client("pos", *SCOPES) as http:
        for (method, path), example in EXAMPLES.items():
            answer = await world.send(http, method, example)
            # By now the stranger may have a customer of that name itself.
            assert answer.status_code in (example.told, 200), (method, path, answer.text)
            assert answer.status_code == 404 or answer.json().get("replayed", 0) == 0, (method, path)
    await world.settle()
    assert await world.owned() == before


def _without(answer: httpx.Response, names: Mapping[str, str]) -> str:
    """What was answered, but for the names that were asked for."""
    told = answer.text
    for name in sorted(names.values(), key=len, reverse=True):
        told = told.replace(name, "...")
    return told
