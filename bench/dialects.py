"""Requests and events a second of each dialect that ingest takes, beside the native one.

    python -m bench.dialects [--batch 100] [--events 3000] [--rounds 9]

Everyone tells of the same uses, in batches and in single requests, to the whole application as it is served,
without a network and on a log that only counts. They take turns; what is timed is CPU.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bench.asgi import WARM_UP_REQUESTS, CountingLog, Posted, cpu_seconds, in_turns, ingest, post
from bench.record import conclude, result
from bench.result import Comparison, Figure, Result, Target, compare, rate
from shared.clock import SystemClock, rfc3339

TARGET = Target(at_least=0.5)
JSON = {"content-type": "application/json"}
Fields = Mapping[str, Any]


def use(n: int, now_us: int) -> Fields:
    """The n-th use, which everyone tells of in a format of its own."""
    return {
        "id": f"0f6dc2f8-8a4b-4d3e-9a43-{n:012}",
        "customer": f"c-{n % 100}",
        "name": "reservation created",
        "at": rfc3339(now_us - 1_000_000 * n),
        "user": f"u-{n % 7}",
        "properties": {"party": n % 6, "channel": "phone"},
    }


def native(u: Fields) -> Fields:
    return {
        "event_id": u["id"],
        "customer_id": u["customer"],
        "event": u["name"],
        "occurred_at": u["at"],
        "user_id": u["user"],
        "properties": u["properties"],
    }


def segment(u: Fields) -> Fields:
    return {
        "type": "track",
        "messageId": u["id"],
        "event": u["name"],
        "userId": u["user"],
        "anonymousId": None,
        "timestamp": u["at"],
        "context": {"groupId": u["customer"], "library": {"name": "analytics-python", "version": "2.4.0"}},
        "integrations": {},
        "properties": u["properties"],
    }


def posthog(u: Fields) -> Fields:
    properties = {**u["properties"], "$groups": {"company": u["customer"]}, "$lib": "posthog-python"}
    return {
        "event": u["name"],
        "distinct_id": u["user"],
        "uuid": u["id"],
        "timestamp": u["at"],
        "properties": properties,
    }


def cloudevent(u: Fields) -> Fields:
    return {
        "specversion": "1.0",
        "id": u["id"],
        "source": "/reservations",
        "type": u["name"],
        "subject": u["customer"],
        "time": u["at"],
        "datacontenttype": "application/json",
        "data": u["properties"],
    }


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--events", type=int, default=3_000, help="of each, in each round")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    return asyncio.run(_measure(given.batch, given.events, given.rounds))


async def _measure(batch: int, events: int, rounds: int) -> Result:
    log = CountingLog()
    figures: list[Figure] = []
    comparisons: list[Comparison] = []
    async with ingest(log) as (app, key):
        for title, requests in ((f"by {batch}", _batches(batch, key)), ("single", _singles(key))):
            seconds = await in_turns(
                {request.name: await _contestant(app, log, request, events) for request in requests}, rounds
            )
            native, *others = (
                rate(f"{name}, {title}", "events", events, took) for name, took in seconds.items()
            )
            figures += [native, *others]
            comparisons += [compare(other, native, TARGET) for other in others]
    return result(
        "dialects",
        __doc__,
        load=f"{events:,} events of each in each of {rounds} rounds, CPU time",
        figures=figures,
        comparisons=comparisons,
        parts=["fastapi", "msgspec"],
    )


async def _contestant(app: Any, log: CountingLog, request: Posted, events: int) -> Any:
    before = log.record_count
    for _ in range(WARM_UP_REQUESTS):
        status = await post(app, request)
    assert log.record_count - before == WARM_UP_REQUESTS * request.event_count, request.name
    return lambda: cpu_seconds(app, request, events // request.event_count, status)


def _batches(count: int, key: str) -> list[Posted]:
    now = rfc3339(SystemClock().now_us())
    return [
        _posted("native", "/v1/events", _of(count, native), key, count),
        _posted("segment", "/v1/batch", {"batch": _of(count, segment), "sentAt": now}, key, count),
        _posted(
            "posthog", "/batch/", {"batch": _of(count, posthog), "sent_at": now, "api_key": key}, "", count
        ),
        _posted(
            "cloudevents",
            "/v1/events",
            _of(count, cloudevent),
            key,
            count,
            {"content-type": "application/cloudevents-batch+json"},
        ),
    ]


def _singles(key: str) -> list[Posted]:
    [told] = _of(1, cloudevent)
    attributes = {
        f"ce-{name}": value for name, value in told.items() if name not in ("data", "datacontenttype")
    }
    return [
        _posted("native", "/v1/events", _of(1, native)[0], key),
        _posted("segment", "/v1/track", _of(1, segment)[0], key),
        _posted("jitsu", "/api/s/s2s/track", _of(1, segment)[0], key),
        _posted("posthog", "/i/v0/e/", {**_of(1, posthog)[0], "api_key": key}, ""),
        _posted(
            "cloudevents, structured",
            "/v1/events",
            told,
            key,
            headers={"content-type": "application/cloudevents+json"},
        ),
        _posted("cloudevents, binary", "/v1/events", told["data"], key, headers={**JSON, **attributes}),
    ]


def _of(count: int, format_: Callable[[Fields], Fields]) -> list[Fields]:
    now_us = SystemClock().now_us()
    return [format_(use(n, now_us)) for n in range(count)]


def _posted(
    name: str, path: str, body: object, key: str, count: int = 1, headers: Mapping[str, str] = JSON
) -> Posted:
    shown = {"authorization": f"Bearer {key}", **headers} if key else headers
    return Posted(name=name, path=path, body=msgspec.json.encode(body), event_count=count, headers=shown)


if __name__ == "__main__":
    conclude(main())
