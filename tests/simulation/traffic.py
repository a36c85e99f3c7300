"""Products that send to ingest and do not give up: every request is repeated until it is answered."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tests.simulation.pipeline import IngestService
from tests.simulation.plan import Request

ANSWER_SECONDS_MAX = 30.0
RETRY_SECONDS_MAX = 1800.0


class Traffic:
    """`acknowledged` are the instants (true time, microseconds) at which each event got its 202."""

    def __init__(
        self, *, random: Random, ingests: Callable[[], list[IngestService]], true_us: Callable[[], int]
    ) -> None:
        self.acknowledged: dict[str, int] = {}
        self.acknowledged_count: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.failures: list[str] = []
        self.unanswered_count = 0
        self._random = random
        self._ingests = ingests
        self._true_us = true_us

    async def send(self, request: Request) -> None:
        """Until it is answered with anything but 5xx."""
        self.unanswered_count += 1
        retry_seconds = 1.0
        while True:
            status, body = await self._once(request)
            if status is not None and status < 500:
                break
            await asyncio.sleep(retry_seconds * (0.5 + self._random.random()))
            retry_seconds = min(retry_seconds * 2, RETRY_SECONDS_MAX)
        self.unanswered_count -= 1
        self._note(request, status, body)

    def _note(self, request: Request, status: int, body: bytes) -> None:
        if status not in (202, 422):
            self.failures.append(f"{request.method} {request.path}: {status} {body.decode()}")
            return
        answer = msgspec.json.decode(body)
        refused = {item["index"] for item in answer.get("rejected", ())}
        for index, event_id in enumerate(request.event_ids):
            if index not in refused and (status == 202):
                self.acknowledged.setdefault(event_id, self._true_us())
                self.acknowledged_count[event_id] += 1

    async def _once(self, request: Request) -> tuple[int | None, bytes]:
        """Status and body; None where no answer came."""
        ingests = [service for service in self._ingests() if not service.machine.is_dead]
        if not ingests:
            return None, b""
        service = self._random.choice(ingests)
        self.sent.update(request.event_ids)
        answer = _Answer()
        call = service.machine.spawn(service.answer(_scope(request), _body(request), answer.send))
        await asyncio.wait([call], timeout=ANSWER_SECONDS_MAX)
        if not call.done():
            return None, b""
        if call.cancelled() or service.machine.is_dead:
            return None, b""
        if (error := call.exception()) is not None:
            self.failures.append(f"{request.method} {request.path}: {type(error).__name__}: {error}")
        return answer.status, bytes(answer.body)


class _Answer:
    def __init__(self) -> None:
        self.status: int | None = None
        self.body = bytearray()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")


def _body(request: Request) -> Any:
    waiting = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query.encode(),
        "headers": [
            (b"authorization", b"Bearer " + request.product.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(request.body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
