"""The HTTP API of tasks and deliveries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.notifier.channels.http import Answer
from shared.auth import Scope
from shared.http import install_errors
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import resumption, stop

TASK = f"/v1/tasks/{stop().id}"


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    async with world(path) as here:
        app = FastAPI()
        install_errors(app)
        app.include_router(here.notifier.api)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            client.headers.update(await key(here))
            yield here, client


async def key(here: World, product: str = "reserve", *scopes: Scope) -> dict[str, str]:
    secret = await here.keys.create(product, scopes=scopes or ("read", "customers"))
    return {"authorization": f"Bearer {secret}"}


async def test_a_task_is_shown_with_its_trail_and_deliveries(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop(csm="csm-1", phone="03-1234-5678"))
        await here.send()
        found = (await client.get(TASK)).json()
        assert (found["state"], found["owner"], found["customer_name"]) == (
            "notified",
            "csm-1",
            "割烹 さくら",
        )
        assert (found["opened_at"], found["day"], found["time_zone"]) == (
            "2026-03-02T05:15:00Z",
            "2026-03-02",
            "Asia/Tokyo",
        )
        assert found["trigger"]["data"]["customer"]["phone"] == "03-1234-5678"
        assert [line["change"] for line in found["history"]] == ["opened", "notified"]
        assert {d["channel"]: d["state"] for d in found["deliveries"]} == {
            "cs-slack": "delivered",
            "phone": "delivered",
        }


async def test_tasks_are_filtered_and_paged(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        for n in range(5):
            await here.read(stop(f"c-{n}", csm="csm-1" if n % 2 else None))
            await here.after(seconds=1)

        async def ids(**query: Any) -> list[str]:
            return [t["customer_id"] for t in (await client.get("/v1/tasks", params=query)).json()["tasks"]]

        assert await ids(owner="csm-1") == ["c-1", "c-3"]
        assert await ids(owner="") == ["c-0", "c-2", "c-4"]
        assert await ids(customer_id="c-2", state=["open", "notified"]) == ["c-2"]
        seen, after = [], None
        while True:
            params = {"limit": 2, **({"after": after} if after else {})}
            page = (await client.get("/v1/tasks", params=params)).json()
            seen += [t["customer_id"] for t in page["tasks"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [f"c-{n}" for n in range(5)]


async def test_today_is_what_is_open_and_what_was_closed_in_a_day(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop("c-old"), stop("c-open"))
        await client.post(f"/v1/tasks/{stop('c-old').id}/done", json={"outcome": "reached"})
        await here.after(hours=20)
        assert len((await client.get("/v1/tasks?today=true")).json()["tasks"]) == 2
        await here.after(hours=5)
        assert [t["customer_id"] for t in (await client.get("/v1/tasks?today=true")).json()["tasks"]] == [
            "c-open"
        ]


async def test_a_call_is_taken_snoozed_and_done(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        taken = await client.post(f"{TASK}/acknowledge", json={"by": "csm-1"})
        assert (taken.status_code, taken.json()["acknowledged_by"]) == (200, "csm-1")
        put_off = await client.post(
            f"{TASK}/snooze", json={"until": "2026-03-02T16:00:00+09:00", "reason": "満席", "by": "csm-1"}
        )
        assert put_off.json()["snoozed_until"] == "2026-03-02T07:00:00Z"
        done = await client.post(f"{TASK}/done", json={"outcome": "churn_risk", "note": "解約を検討中"})
        assert (done.json()["state"], done.json()["outcome"]) == ("done", "churn_risk")
        assert done.json()["closed_by"].startswith("key:ut_")


async def test_without_a_body_the_key_takes_the_call(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        assert (await client.post(f"{TASK}/acknowledge")).json()["acknowledged_by"].startswith("key:ut_")


async def test_a_double_click_is_one_change(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        for _ in range(2):
            answer = await client.post(f"{TASK}/done", json={"outcome": "reached", "by": "csm-1"})
            assert answer.status_code == 200
        assert [row.change for row in await here.rows("task_history")] == ["opened", "done"]


async def test_what_cannot_be_done_is_a_conflict_that_says_why(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        await here.read(resumption(stop()))
        answer = await client.post(f"{TASK}/acknowledge")
        assert answer.status_code == 409
        assert answer.json()["code"] == "task_closed"
        assert "using the product again" in answer.json()["message"]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("done", {}),
        ("done", {"outcome": "happy"}),
        ("done", {"outcome": "reached", "note": "x" * 4001}),
        ("done", {"outcome": "reached", "colour": "red"}),
        ("snooze", {"until": "2026-03-02T16:00:00"}),
        ("snooze", {"until": "soon"}),
        ("snooze", {"until": "2026-03-02T05:00:00Z"}),
        ("snooze", {"until": "9999-12-31T23:59:59+14:00"}),
        ("acknowledge", {"by": "x" * 101}),
        ("acknowledge", []),
    ],
)
async def test_a_body_that_means_nothing_is_refused_and_changes_nothing(
    tmp_path: Path, action: str, body: Any
) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        assert (await client.post(f"{TASK}/{action}", json=body)).status_code == 422
        assert (await here.task()).state == "open"


@pytest.mark.parametrize("after", ["", "x", "1", ".", "-1.a", "99999999999999999999.a"])
async def test_a_cursor_that_is_none_is_refused(tmp_path: Path, after: str) -> None:
    async with served(tmp_path) as (_, client):
        for path in ("/v1/tasks", "/v1/deliveries"):
            assert (await client.get(path, params={"after": after})).status_code == 422


async def test_another_products_key_finds_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        delivery = f"/v1/deliveries/{stop().id}.phone"
        client.headers.update(await key(here, "other"))
        assert (await client.get("/v1/tasks")).json() == {"tasks": [], "next": None}
        assert (await client.get("/v1/deliveries")).json() == {"deliveries": [], "next": None}
        assert (await client.post("/v1/deliveries/replay", json={})).json() == {"replayed": 0}
        for method, path, body in (
            ("GET", TASK, None),
            ("POST", f"{TASK}/acknowledge", {}),
            ("POST", f"{TASK}/snooze", {"until": "2026-03-02T16:00:00Z"}),
            ("POST", f"{TASK}/done", {"outcome": "reached"}),
            ("GET", f"{delivery}/attempts", None),
            ("POST", f"{delivery}/replay", None),
        ):
            assert (await client.request(method, path, json=body)).status_code == 404
        assert (await here.task()).state == "open"


async def test_a_key_that_may_only_read_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        client.headers.update(await key(here, "reserve", "read"))
        assert (await client.get(TASK)).status_code == 200
        assert (await client.post(f"{TASK}/acknowledge")).status_code == 403
        assert (await client.post("/v1/deliveries/replay", json={})).status_code == 403


async def test_without_a_key_nothing_is_shown(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        client.headers.pop("authorization")
        for path in ("/v1/tasks", TASK, "/v1/deliveries"):
            assert (await client.get(path)).status_code == 401


async def test_deliveries_their_attempts_and_a_replay(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        here.receivers.will_answer("phone", Answer(status=500, body=b"down"))
        await here.read(stop())
        await here.send()
        delivery = f"/v1/deliveries/{stop().id}.phone"
        found = (await client.get("/v1/deliveries", params={"state": "pending"})).json()["deliveries"]
        assert [(d["channel"], d["last_error"], d["attempt_count"]) for d in found] == [
            ("phone", "500 down", 1)
        ]
        (attempt,) = (await client.get(f"{delivery}/attempts")).json()
        assert (attempt["result"], attempt["detail"]) == ("retry", "500 down")
        assert (await client.post(f"{delivery}/replay")).json() == {"replayed": 1}
        await here.send()
        assert len(here.receivers.to("phone")) == 2
        body = {
            "channel": "phone",
            "state": "delivered",
            "from": "2026-03-02T00:00:00Z",
            "to": "2026-03-03T00:00:00Z",
        }
        assert (await client.post("/v1/deliveries/replay", json=body)).json() == {"replayed": 1}
        await here.send()
        assert [r.headers["webhook-id"] for r in here.receivers.to("phone")] == [stop().id] * 3


async def test_a_replay_goes_out_although_the_task_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path) as (here, client):
        await here.read(stop())
        await client.post(f"{TASK}/done", json={"outcome": "reached"})
        await here.send()
        assert here.receivers.requests == []
        await client.post(f"/v1/deliveries/{stop().id}.phone/replay")
        await here.send()
        assert len(here.receivers.to("phone")) == 1
