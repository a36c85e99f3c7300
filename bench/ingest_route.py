"""Ingest's own route, native events in batches, against a bare ASGI app that makes the same records.

    python -m bench.ingest_route [--batch 500] [--requests 20] [--rounds 40]

Both get the same bytes without a network, and give their records to a log that only counts. The bare one
decodes with msgspec, dates, encodes and answers: no key, no limits, no checks, no rejection, no metrics.
"""

import argparse
import asyncio
from datetime import datetime
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from bench.asgi import PRODUCT, WARM_UP_REQUESTS, CountingLog, Posted, cpu_seconds, in_turns, ingest, post
from bench.record import conclude, result
from bench.result import Result, Target, compare, rate
from shared.clock import EPOCH, SystemClock, rfc3339
from shared.events import TOPIC_EVENTS, Event
from shared.log import Message

ACCEPTED = 202
TARGET = Target(
    at_least=0.85,
    why_missed="the bare app trims and bounds nothing, and has no middleware, key or metrics (decision 0120)",
)


class _Native(msgspec.Struct):
    customer_id: str
    event_id: str
    event: str
    occurred_at: datetime
    user_id: str | None = None
    properties: dict[str, Any] = {}


class BareApp:
    """The least that a route must do to put the same records on the log."""

    def __init__(self, log: CountingLog) -> None:
        self._log = log
        self._decode = msgspec.json.Decoder(list[_Native]).decode
        self._encode = msgspec.json.Encoder().encode
        self._clock = SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        now_us = self._clock.now_us()
        messages = [self._record(native, now_us) for native in self._decode(body)]
        await self._log.append(TOPIC_EVENTS, messages)
        answer = self._encode({"accepted": len(messages), "rejected": []})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": ACCEPTED, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _record(self, native: _Native, now_us: int) -> Message:
        since = native.occurred_at - EPOCH
        event = Event(
            product=PRODUCT,
            customer_id=native.customer_id,
            event_id=native.event_id,
            event=native.event,
            occurred_us=(since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds,
            received_us=now_us,
            user_id=native.user_id,
            properties=native.properties,
        )
        return Message(value=self._encode(event), key=f"{PRODUCT}/{native.customer_id}".encode())


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--requests", type=int, default=20, help="in each round")
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    return asyncio.run(_measure(given.batch, given.requests, given.rounds))


async def _measure(batch: int, requests: int, rounds: int) -> Result:
    log, bare_log = CountingLog(), CountingLog()
    bare = BareApp(bare_log)
    async with ingest(log) as (app, key):
        request = native_batch(batch, key)
        for _ in range(WARM_UP_REQUESTS):
            await post(app, request)
            await post(bare, request)
        assert _comparable(log) == _comparable(bare_log)
        seconds = await in_turns(
            {
                "ingest": lambda: cpu_seconds(app, request, requests, ACCEPTED),
                "bare": lambda: cpu_seconds(bare, request, requests, ACCEPTED),
            },
            rounds,
        )
    route = rate("ingest's route", "events", batch * requests, seconds["ingest"])
    least = rate("bare ASGI app", "events", batch * requests, seconds["bare"])
    return result(
        "ingest_route",
        __doc__,
        load=f"batches of {batch}, {rounds} rounds of {requests} requests, CPU time",
        figures=[route, least],
        comparisons=[compare(route, least, TARGET)],
        parts=["fastapi", "msgspec"],
    )


def native_batch(count: int, key: str) -> Posted:
    """A request of `count` native events, as a product sends them."""
    now_us = SystemClock().now_us()
    events = [
        {
            "event_id": f"0f6dc2f8-8a4b-4d3e-9a43-{n:012}",
            "customer_id": f"c-{n % 100}",
            "event": "reservation.created",
            "occurred_at": rfc3339(now_us - 1_000_000 * n),
            "user_id": f"u-{n % 7}",
            "properties": {"party": n % 6, "channel": "phone"},
        }
        for n in range(count)
    ]
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return Posted(
        name="native", path="/v1/events", body=msgspec.json.encode(events), event_count=count, headers=headers
    )


def _comparable(log: CountingLog) -> list[tuple[bytes | None, Any]]:
    """The records without the instant at which they were made."""
    decode = msgspec.json.decode
    return [(message.key, {**decode(message.value), "received_us": 0}) for message in log.last]


if __name__ == "__main__":
    conclude(main())
