"""What the API tells of a customer is what was folded, to whom it belongs and to nobody else."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.evaluator.api import ReadingParts, router
from services.evaluator.changes import Batch, Position
from services.evaluator.core.rules import Product
from shared.auth import KeyRing
from shared.http import install_errors
from shared.triggers import encode_trigger
from tests.unit.evaluator.pipeline import RULES, Pipeline, pipeline, products_of

COUNTS = {
    "three": {"kind": "count", "within_days": 7, "at_least": 3, "emit": "three.made"},
    "ten": {"kind": "count", "within_days": 30, "at_least": 10, "emit": "ten.made"},
}


class Client:
    """Asks as somebody with a key."""

    def __init__(self, app: FastAPI, key: str) -> None:
        transport = httpx.ASGITransport(app=app)
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.AsyncClient(transport=transport, base_url="http://evaluator", headers=headers)

    async def get(self, path: str, status: int = 200, **query: str) -> Any:
        answer = await self.http.get(f"/v1/customers/{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def rules() -> Mapping[str, Any]:
    return RULES


@pytest.fixture
async def p(tmp_path: Path, rules: Mapping[str, Any]) -> AsyncIterator[Pipeline]:
    async with pipeline(tmp_path, products=products_of(rules, "q")) as p:
        yield p


@pytest.fixture
def keyring(p: Pipeline) -> KeyRing:
    return KeyRing(p.database, p.clock)


@pytest.fixture
def app(p: Pipeline, keyring: KeyRing) -> FastAPI:
    app = FastAPI()
    install_errors(app)
    parts = ReadingParts(store=p.store, products=p.options["products"], keyring=keyring, clock=p.clock)
    app.include_router(router(parts))
    return app


@pytest.fixture
async def client(app: FastAPI, keyring: KeyRing) -> AsyncIterator[Client]:
    client = Client(app, await keyring.create("p"))
    async with client.http:
        yield client


async def use_on(p: Pipeline, customer: str, *days: int) -> None:
    for day in days:
        p.at(day, 12)
        await p.use(customer)
        await p.settle()


async def test_a_customer_is_shown_with_profile_streaks_and_ninety_days(p: Pipeline, client: Client) -> None:
    p.at(0, 1)
    await p.profile("c-1", name="さくら", time_zone="Asia/Tokyo", csm="csm-1")
    await use_on(p, "c-1", 0, 1, 2)
    body = await client.get("c-1")
    assert (body["customer_id"], body["time_zone"], body["today"]) == ("c-1", "Asia/Tokyo", "2026-03-04")
    assert body["profile"]["name"] == "さくら"
    assert body["streaks"] == [
        {
            "rule": "habit",
            "length": 3,
            "calendar_days": 3,
            "started_on": "2026-03-02",
            "last_active_on": "2026-03-04",
        }
    ]
    assert len(body["days"]) == 90
    assert body["days"][-1] == {"day": "2026-03-04", "active": True, "expected": True}
    assert sum(day["active"] for day in body["days"]) == 3


@pytest.mark.parametrize("rules", [COUNTS])
async def test_a_count_is_shown_while_it_is_neither_reached_nor_missed(p: Pipeline, client: Client) -> None:
    await use_on(p, "c-1", 0, 2)
    body = await client.get("c-1")
    assert body["counts"] == [
        {"rule": "three", "count": 2, "at_least": 3, "last_day": "2026-03-08"},
        {"rule": "ten", "count": 2, "at_least": 10, "last_day": "2026-03-31"},
    ]
    await use_on(p, "c-1", 3)
    assert [count["rule"] for count in (await client.get("c-1"))["counts"]] == ["ten"]


async def test_days_are_those_asked_for_both_included(p: Pipeline, client: Client) -> None:
    await use_on(p, "c-1", 0, 2)
    body = await client.get("c-1/days", **{"from": "2026-03-01", "to": "2026-03-03"})
    assert [(day["day"], day["active"]) for day in body["days"]] == [
        ("2026-03-01", False),
        ("2026-03-02", True),
        ("2026-03-03", False),
    ]


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [
        ({}, "2025-12-05", 90),
        ({"from": "2026-03-03"}, "2026-03-03", 2),
        ({"to": "2026-03-03"}, "2025-12-04", 90),
        ({"from": "2026-03-10"}, "2026-03-10", 1),
    ],
)
async def test_without_from_or_to_the_days_go_back_from_today(
    p: Pipeline, client: Client, query: dict[str, str], first: str, count: int
) -> None:
    await use_on(p, "c-1", 2)
    days = (await client.get("c-1/days", **query))["days"]
    assert (days[0]["day"], len(days)) == (first, count)


async def test_triggers_are_shown_as_they_are_sent(p: Pipeline, client: Client) -> None:
    await use_on(p, "c-1", 0, 1, 2)
    await use_on(p, "c-2", 2)
    p.at(4, 1)
    await p.settle()
    shown = (await client.get("c-1/days"))["triggers"]
    assert [trigger["type"] for trigger in shown] == ["habit.formed", "usage.stopped"]
    sent = [encode_trigger(t) for t in p.triggers() if t.data.customer.id == "c-1"]
    assert [httpx.Response(200, content=value).json() for value in sent] == shown


async def test_a_customer_is_unknown_until_its_first_event_was_folded(p: Pipeline, client: Client) -> None:
    await p.use("c-1")
    assert (await client.get("c-1", 404))["code"] == "not_found"
    assert (await client.get("c-1/days", 404))["code"] == "not_found"
    await p.drain()
    await client.get("c-1")


async def test_a_customer_erased_is_unknown_again(p: Pipeline, client: Client) -> None:
    await use_on(p, "c-1", 0)
    await p.erase("c-1")
    await p.drain()
    await client.get("c-1", 404)


async def test_another_product_s_customer_is_unknown_in_the_same_words(
    p: Pipeline, app: FastAPI, client: Client, keyring: KeyRing
) -> None:
    await use_on(p, "c-1", 0)
    other = Client(app, await keyring.create("q"))
    async with other.http:
        for path in ("c-1", "c-1/days"):
            assert await other.get(path, 404) == {**await client.get("nobody", 404), **_naming("c-1")}


def _naming(name: str) -> dict[str, str]:
    line = f"no customer {name!r} is known; a new one is, a moment after its first event"
    return {"message": line, "detail": line}


@pytest.mark.parametrize("name", ["店/本店", "days", "c-1"])
async def test_ids_with_slashes_and_other_letters_are_found(p: Pipeline, client: Client, name: str) -> None:
    await use_on(p, name, 0)
    path = name.replace("/", "%2F")
    assert (await client.get(path))["customer_id"] == name
    assert (await client.get(f"{path}/days"))["customer_id"] == name


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ({"from": "2026-03-02", "to": "2026-03-01"}, 422, "after"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, 422, "3660"),
        ({"from": "yesterday"}, 422, "from"),
        ({"from": "2026-02-30"}, 422, "from"),
    ],
)
async def test_impossible_days_are_refused_in_one_line(
    p: Pipeline, client: Client, query: dict[str, str], status: int, word: str
) -> None:
    await use_on(p, "c-1", 0)
    assert word in (await client.get("c-1/days", status, **query))["message"]


@pytest.mark.parametrize("query", [{"to": "0001-01-01"}, {"from": "9999-12-31"}, {"to": "9999-12-31"}])
async def test_the_ends_of_the_calendar_are_answered(
    p: Pipeline, client: Client, query: dict[str, str]
) -> None:
    await use_on(p, "c-1", 0)
    assert (await client.get("c-1/days", **query))["days"]


@pytest.mark.parametrize("path", ["%00", "c-1%00", "x" * 5000])
async def test_ids_that_nobody_can_have_are_unknown(client: Client, path: str) -> None:
    assert (await client.get(path, 404))["code"] == "not_found"


async def test_without_the_right_key_nothing_is_told(app: FastAPI, keyring: KeyRing) -> None:
    for key, status in (
        ("", 401),
        ("ut_00000000_x", 401),
        (await keyring.create("p", scopes=["ingest"]), 403),
    ):
        async with (stranger := Client(app, key)).http:
            await stranger.get("c-1", status)
            await stranger.get("c-1/days", status)


async def test_the_rules_in_force_stand_before_those_they_replaced(p: Pipeline, client: Client) -> None:
    await use_on(p, "a", 1)
    edited = {**RULES, "stopped": {**RULES["stopped"], "cutoff": "15:00"}, "fading": {"kind": "decline"}}
    del edited["habit"]
    for product in products_of(edited, "q").values():
        await p.store.write(
            recalled_alone(await p.store.claim(0, beginning=0, now_us=1), product),
            now_us=p.clock.now_us() + 1,
        )
    answer = await client.http.get("/v1/rules")
    newest, first = answer.json()["history"]
    assert newest["changed"] == {"added": ["fading"], "removed": ["habit"], "edited": ["stopped"]}
    assert newest["rules"]["fading"] == {"kind": "decline"}
    assert first["changed"]["added"] == list(RULES)


def recalled_alone(position: Position, product: Product) -> Batch:
    return Batch(
        expected_offset=position.next_offset,
        position=position,
        adopted=((product.id, product.key, product.source),),
    )
