"""From an event over HTTP to a signed webhook the same day, whole and in one process, on a clock of ours."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from standardwebhooks import Webhook

from services.notifier.channels.http import Request
from tests.e2e.world import SECRET, world


def _signature(request: Request) -> str:
    """As Standard Webhooks' own library signs it (its verify() reads the machine's clock, ours stands)."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    id = request.headers["webhook-id"]
    return Webhook(SECRET).sign(msg_id=id, timestamp=at, data=request.body.decode())


async def test_a_stop_reaches_the_phone_tool_the_same_day_and_its_end_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for day in (2, 3, 4, 5):
            await here.use(f"2026-03-{day:02d}T10:00:00")
        await here.time_is("2026-03-06T14:14:00")
        assert here.receiver.requests == [], "14:00 and 15 minutes of grace have not passed"

        await here.time_is("2026-03-06T14:16:00")
        (request,) = here.receiver.requests
        assert request.headers["webhook-signature"] == _signature(request)
        body = msgspec.json.decode(request.body)
        assert (body["type"], body["data"]["day"]) == ("usage.stopped", "2026-03-06")
        assert body["data"]["cutoff_at"] == "2026-03-06T05:00:00Z"
        assert body["data"]["streak"]["length"] == 4
        assert body["data"]["customer"]["name"] == "鮨 はやし"
        assert request.headers["webhook-id"] == body["id"]

        await here.use("2026-03-06T15:00:00")
        assert msgspec.json.decode(here.receiver.requests[-1].body)["type"] == "usage.resumed"
        (task,) = (await here.http.get("/v1/tasks")).json()["tasks"]
        assert (task["state"], task["cancelled"]) == ("cancelled", "resumed")


async def test_a_customer_who_uses_the_product_every_day_is_never_called(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for day in range(2, 8):
            await here.use(f"2026-03-{day:02d}T10:00:00")
        assert here.receiver.requests == []
        assert (await here.http.get("/v1/tasks")).json()["tasks"] == []


async def test_nothing_is_told_twice_when_every_worker_steps_twice_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for day in (2, 3, 4, 5):
            await here.use(f"2026-03-{day:02d}T10:00:00")
        await here.time_is("2026-03-06T14:16:00")
        await asyncio.gather(here.settle(), here.settle())
        assert len(here.receiver.requests) == 1
