"""From an event over HTTP to a signed webhook the same day, whole and in one process, on a clock of ours."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
from standardwebhooks import Webhook

from services.bootstrap import Assembly, assemble
from services.foundations import embedded
from services.notifier.channels.http import Answer, Request
from shared.clock import ManualClock
from shared.config import Config
from shared.settings import Settings
from tests.stepping import settle

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1waG9uZS10b29s"
CONFIG = Config.model_validate(
    {
        "products": {
            "reserve": {
                "time_zone": "Asia/Tokyo",
                "day_starts_at": "05:00",
                "rules": {
                    "usage-stopped": {
                        "kind": "absence",
                        "cutoff": "14:00",
                        "min_streak": 3,
                        "expect": "calendar",
                        "emit": "usage.stopped",
                    }
                },
                "playbooks": [{"on": "usage.stopped", "send": ["phone"]}],
            }
        },
        "channels": {"phone": {"kind": "webhook", "url": "https://phone.example/calls", "secret": SECRET}},
        "csms": {"mori": {"name": "Mori", "time_zone": "Asia/Tokyo", "hours": "09:00-18:00"}},
    }
)


class Receiver:
    """Stands for the phone tool: takes every request and keeps it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(status=200)

    async def close(self) -> None:
        return


def _signature(request: Request) -> str:
    """As Standard Webhooks' own library signs it (its verify() reads the machine's clock, ours stands)."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    id = request.headers["webhook-id"]
    return Webhook(SECRET).sign(msg_id=id, timestamp=at, data=request.body.decode())


class World:
    """The whole service, its clock and its one receiver."""

    def __init__(
        self, assembly: Assembly, clock: ManualClock, receiver: Receiver, http: httpx.AsyncClient
    ) -> None:
        self._assembly = assembly
        self._clock = clock
        self.receiver = receiver
        self.http = http

    async def use(self, at: str) -> None:
        """A use at this local time in Tokyo, posted then."""
        self._clock.set(datetime.fromisoformat(f"{at}+09:00"))
        answer = await self.http.post(
            "/v1/events", json={"customer_id": "c-17", "event": "reservation.created"}
        )
        assert answer.status_code == 202
        await self.settle()

    async def time_is(self, at: str) -> None:
        self._clock.set(datetime.fromisoformat(f"{at}+09:00"))
        await self.settle()

    async def settle(self) -> None:
        await settle(self._assembly, self._clock)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    receiver = Receiver()
    settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": directory})
    async with embedded(CONFIG, settings, clock) as opened:
        base = msgspec.structs.replace(opened, open_client=lambda _private: receiver, random=random.Random(1))
        assembly = assemble(base)
        headers = {"Authorization": f"Bearer {await base.keys.create('reserve')}"}
        transport = httpx.ASGITransport(assembly.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as http:
            await http.put("/v1/customers/c-17", json={"name": "鮨 はやし", "csm": "mori"})
            yield World(assembly, clock, receiver, http)
        await assembly.close()


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
