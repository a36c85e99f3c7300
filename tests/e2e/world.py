"""The whole service in one process, on a clock of ours, with one receiver of webhooks."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

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
    """Stands for the phone tool: keeps every request, and takes it unless `answers` say otherwise."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else Answer(status=200)

    async def close(self) -> None:
        return


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
