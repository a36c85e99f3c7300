"""A product that posts usage: it repeats what was not acknowledged, and remembers what was."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from shared.clock import SystemClock, from_us
from tests.faults.launching import LOOK_EVERY_SECONDS, Ended, Instance

TIMEOUT_SECONDS = 30.0

Item = Mapping[str, Any]


def use(customer_id: str, *, on: date | None = None, id: str, **more: Any) -> dict[str, Any]:
    """An event as a product writes it; without a day it is use at this moment."""
    item: dict[str, Any] = {"customer_id": customer_id, "event_id": id, **more}
    return item if on is None else {**item, "occurred_on": on.isoformat()}


def days_ago(count: int) -> date:
    """A day, as UTC has it now."""
    return (from_us(SystemClock().now_us()) - timedelta(days=count)).date()


class Poster:
    """Posts to whichever ingest it is told to, with `key`; `statuses` are the answers, 0 for none."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)
        self.acknowledged: set[str] = set()
        self.unacknowledged: list[list[Item]] = []
        self.statuses: list[int] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, to: Instance, items: Sequence[Item]) -> int:
        """Post a batch once; returns the status, 0 when there was no answer."""
        batch = list(items)
        self.unacknowledged.append(batch)
        status = await self._post(to, batch)
        if status == 202:
            self.unacknowledged.remove(batch)
            self.acknowledged |= {item["event_id"] for item in batch}
        self.statuses.append(status)
        return status

    async def repeat(self, to: Instance, *, within_seconds: float = TIMEOUT_SECONDS) -> None:
        """Post again what was not acknowledged, until it is; raises Ended where nobody is left to take it."""
        async with asyncio.timeout(within_seconds):
            while self.unacknowledged:
                batch = self.unacknowledged.pop(0)
                if await self.post(to, batch) != 202 and await to.ended_within(LOOK_EVERY_SECONDS):
                    raise Ended(f"{to.name} ended with {to.exit_code}:\n{to.said()[-3000:]}")

    async def put_customer(self, to: Instance, customer_id: str, profile: Mapping[str, Any]) -> int:
        url = f"{to.url}/v1/customers/{customer_id}"
        response = await self._client.put(url, json=dict(profile), headers=self._headers)
        return response.status_code

    async def get(self, to: Instance, path: str) -> httpx.Response:
        return await self._client.get(f"{to.url}{path}", headers=self._headers)

    async def metric(self, on: Instance, name: str, **labels: object) -> float | None:
        """The value of the one metric of that name with these labels; None where there is none yet."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for line in (await self.get(on, "/metrics")).text.splitlines():
            if line.startswith(f"usage_triggers_{name}") and all(label in line for label in wanted):
                return float(line.rpartition(" ")[2])
        return None

    async def until_metric(
        self, on: Instance, name: str, holds: Callable[[float], bool], **labels: object
    ) -> float:
        """The first value of which `holds` is true; raises Ended, or TimeoutError after half a minute."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (value := await self.metric(on, name, **labels)) is None or not holds(value):
                if await on.ended_within(LOOK_EVERY_SECONDS):
                    raise Ended(f"{on.name} ended with {on.exit_code}")
        return value

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def _post(self, to: Instance, batch: list[Item]) -> int:
        try:
            response = await self._client.post(f"{to.url}/v1/events", json=batch, headers=self._headers)
        except httpx.HTTPError:
            return 0
        return response.status_code
