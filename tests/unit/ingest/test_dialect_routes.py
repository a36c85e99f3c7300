"""Other services' SDKs over HTTP: their paths, their keys, and the one answer that satisfies them all."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from shared.auth import KeyRing
from shared.clock import ManualClock
from shared.config import Config
from shared.database import open_sqlite
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, DeadLetter, Event, Message, ProfileChanged, decode
from shared.schema import metadata
from tests.fakes.log import MemoryLog
from tests.serving import ingest_on, standing_on

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TRACK = {"type": "track", "event": "used", "groupId": "g-1", "messageId": "m-1"}
CONFIG = Config.model_validate({"products": {"reserve": {}, "persons": {"customer_from": ["userId"]}}})


class Ingest:
    """The application with a rate of 100 events a second, and keys of two products."""

    def __init__(self, http: httpx.AsyncClient, log: MemoryLog, clock: ManualClock, keys: KeyRing) -> None:
        self.http = http
        self.log = log
        self.clock = clock
        self.keys = keys
        self.key = ""

    def messages(self) -> list[Message]:
        return [decode(record.value) for record in self.log.records(TOPIC_EVENTS)]

    def letters(self) -> list[DeadLetter]:
        records = self.log.records(TOPIC_DEAD_LETTERS)
        return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]

    async def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, headers=named)


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    database = open_sqlite(tmp_path / "keys.sqlite")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    clock = ManualClock(NOW)
    keys, log = KeyRing(database, clock), MemoryLog(clock)
    base = standing_on(
        config=CONFIG,
        database=database,
        log=log,
        keys=keys,
        clock=clock,
        make_id=lambda: "made",
        events_per_second_max=100,
    )
    transport = httpx.ASGITransport(app=ingest_on(base))
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as http:
        made = Ingest(http, log, clock, keys)
        made.key = await keys.create("reserve")
        yield made
    await database.close()


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


async def test_the_answer_satisfies_every_sdk(ingest: Ingest) -> None:
    answer = await ingest.post("/v1/batch", {"batch": [TRACK]}, ingest.key)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "status": 1, "code": 200, "accepted": 1, "rejected": []}
    assert len(ingest.messages()) == 1


async def test_a_key_is_taken_from_wherever_sdks_put_it(ingest: Ingest) -> None:
    key, batch = ingest.key, {"batch": [TRACK]}
    capture = {"event": "used", "distinct_id": "u"}
    answers = [
        await ingest.post("/v1/batch", batch, authorization=basic(key)),
        await ingest.post("/v1/batch", batch, x_write_key=f"{key}:secret"),
        await ingest.post("/v1/batch", {**batch, "writeKey": key}),
        await ingest.post("/batch/", {"batch": [capture], "api_key": key}),
        await ingest.post("/capture/", {**capture, "api_key": key}),
        await ingest.post("/i/v0/e/", {**capture, "properties": {"token": key}}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 6


@pytest.mark.parametrize(
    "path", ["/v1/batch", "/v1/track", "/api/s/s2s/track", "/batch/", "/capture/", "/i/v0/e/"]
)
async def test_without_a_key_nothing_gets_in(ingest: Ingest, path: str) -> None:
    body = {"batch": [TRACK], "writeKey": "ut_00000000_" + "A" * 43, "api_key": 4}
    for answer in (await ingest.post(path, {}), await ingest.post(path, body)):
        assert answer.status_code == 401
        assert set(answer.json()) == {"code", "message", "detail"}
    assert not ingest.messages()


async def test_every_kind_has_its_path_in_both_families(ingest: Ingest) -> None:
    for prefix in ("/v1", "/api/s/s2s"):
        for kind in ("track", "page", "screen", "identify", "group", "alias"):
            body = {"event": "used", "userId": "u", "groupId": "g", "traits": {"name": "C"}}
            assert (await ingest.post(f"{prefix}/{kind}", body, ingest.key)).status_code == 200
    # Of each family: three uses and the group's profile; identify is of a person in a group, alias of none.
    kinds = [type(message) for message in ingest.messages()]
    assert (kinds.count(Event), kinds.count(ProfileChanged), len(kinds)) == (6, 2, 8)


async def test_gzip_under_a_form_content_type_is_read(ingest: Ingest) -> None:
    body = gzip.compress(json.dumps({"batch": [TRACK]}).encode())
    headers = {"content_type": "application/x-www-form-urlencoded", "content_encoding": "gzip"}
    assert (await ingest.post("/v1/batch", body, ingest.key, **headers)).status_code == 200


async def test_a_bad_item_is_kept_with_its_path_and_the_others_are_taken(ingest: Ingest) -> None:
    bad = {"type": "track", "event": "used", "anonymousId": "a"}
    answer = await ingest.post("/v1/batch", {"batch": [TRACK, bad]}, ingest.key)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert answer.json()["rejected"][0]["code"] == "no_customer"
    [letter] = ingest.letters()
    assert (letter.reason, letter.origin) == ("no_customer", "http:/v1/batch")
    # What is kept can be posted again as it is, and to where it came from.
    again = await ingest.post("/v1/batch", letter.payload.encode(), ingest.key)
    assert again.json()["code"] == "no_customer"


async def test_nothing_good_is_a_refusal_that_no_sdk_repeats(ingest: Ingest) -> None:
    answer = await ingest.post("/batch/", {"batch": [{"event": "used"}]}, ingest.key)
    assert answer.status_code == 422
    assert {"code", "message", "detail", "accepted", "rejected"} == set(answer.json())


async def test_a_body_that_is_no_batch_is_not_parseable(ingest: Ingest) -> None:
    assert (await ingest.post("/v1/batch", b"{", ingest.key)).status_code == 400
    assert (await ingest.post("/batch/", b"[1", ingest.key)).status_code == 400


async def test_who_the_customer_is_is_the_product_s_to_say(ingest: Ingest) -> None:
    item = {**TRACK, "userId": "u-1"}
    await ingest.post("/v1/batch", {"batch": [item]}, await ingest.keys.create("persons"))
    [event] = ingest.messages()
    assert isinstance(event, Event)
    assert (event.product, event.customer_id) == ("persons", "u-1")


async def test_a_key_for_events_alone_tells_no_profiles(ingest: Ingest) -> None:
    key = await ingest.keys.create("reserve", scopes=["ingest"])
    answer = await ingest.post("/v1/group", {"groupId": "g", "traits": {"name": "C"}}, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden")


async def test_history_by_migration_or_by_flag_is_backfill(ingest: Ingest) -> None:
    old = {"event": "used", "distinct_id": "u", "timestamp": "2020-01-01T00:00:00Z"}
    await ingest.post("/batch/", {"batch": [old], "historical_migration": True}, ingest.key)
    await ingest.post(
        "/v1/batch?backfill=true", {"batch": [{**TRACK, "timestamp": old["timestamp"]}]}, ingest.key
    )
    assert [message.backfill for message in ingest.messages() if isinstance(message, Event)] == [True, True]


async def test_cloudevents_come_to_events_in_all_three_modes(ingest: Ingest) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "used",
        "subject": "c-1",
        "data": {"a": 1},
    }
    attributes = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    answers = [
        await ingest.post("/v1/events", event, ingest.key, content_type="application/cloudevents+json"),
        await ingest.post(
            "/v1/events", [event], ingest.key, content_type="application/cloudevents-batch+json"
        ),
        await ingest.post("/v1/events", {"a": 1}, ingest.key, content_type="application/json", **attributes),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    first, *others = ingest.messages()
    assert others == [first, first]


async def test_a_key_that_sends_too_much_is_told_when_to_go_on(ingest: Ingest) -> None:
    batch = {"batch": [TRACK] * 1000}
    # 1,000 fill the bucket of ten seconds exactly, 1,000 more overdraw it by as many.
    statuses = [(await ingest.post("/v1/batch", batch, ingest.key)).status_code for _ in range(2)]
    refused = await ingest.post("/v1/batch", batch, ingest.key)
    assert [*statuses, refused.status_code] == [200, 200, 429]
    assert (refused.headers["retry-after"], refused.json()["code"]) == ("10", "rate_limited")
    assert (await ingest.post("/v1/batch", batch, await ingest.keys.create("reserve"))).status_code == 200
    ingest.clock.advance(timedelta(seconds=10))
    assert (await ingest.post("/v1/batch", {"batch": [TRACK]}, ingest.key)).status_code == 200
