"""Ingest over HTTP on a log in memory: what is answered, and what the log then holds."""

import gzip
import itertools
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
from shared.database import Database, open_sqlite
from shared.events import (
    TOPIC_DEAD_LETTERS,
    TOPIC_EVENTS,
    CustomerErased,
    DeadLetter,
    Event,
    Message,
    ProfileChanged,
    decode,
    record_key,
)
from shared.schema import metadata
from tests.fakes.log import MemoryLog
from tests.serving import ingest_on, standing_on

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CONFIG = Config.model_validate({"products": {"reserve": {}, "pos": {"late_window": "1d"}}})


class Ingest:
    """The application, the log under it, and a client that shows a key."""

    def __init__(self, http: httpx.AsyncClient, log: MemoryLog, keys: KeyRing) -> None:
        self.http = http
        self.log = log
        self.keys = keys

    def messages(self) -> list[Message]:
        return [decode(record.value) for record in self.log.records(TOPIC_EVENTS)]

    def letters(self) -> list[DeadLetter]:
        records = self.log.records(TOPIC_DEAD_LETTERS)
        return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]

    async def post(self, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post("/v1/events", content=content, headers=named)

    async def key(self, product: str, *scopes: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.keys.create(product, scopes=scopes)}"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_sqlite(tmp_path / "keys.sqlite")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
async def ingest(database: Database, clock: ManualClock) -> AsyncIterator[Ingest]:
    keys = KeyRing(database, clock)
    log = MemoryLog(clock)
    count = itertools.count(1)
    base = standing_on(
        config=CONFIG,
        database=database,
        log=log,
        keys=keys,
        clock=clock,
        make_id=lambda: f"made-{next(count)}",
    )
    transport = httpx.ASGITransport(app=ingest_on(base))
    headers = {"Authorization": f"Bearer {await keys.create('reserve')}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=headers) as http:
        yield Ingest(http, log, keys)


async def test_a_single_event_is_in_the_log_when_it_is_answered(ingest: Ingest) -> None:
    answer = await ingest.post({"customer_id": "c-17"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    [event] = ingest.messages()
    assert isinstance(event, Event)
    assert (event.product, event.customer_id, event.event_id) == ("reserve", "c-17", "made-1")
    assert ingest.log.records(TOPIC_EVENTS)[0].key == record_key("reserve", "c-17")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ],
)
async def test_the_bytes_decide_and_not_what_careless_clients_call_them(
    ingest: Ingest, content_type: str
) -> None:
    answer = await ingest.post({"customer_id": "c-17"}, content_type=content_type)
    assert answer.status_code == 202


async def test_ndjson_is_taken_line_by_line(ingest: Ingest) -> None:
    body = b'{"customer_id": "a"}\nbroken\n{"customer_id": "b"}\n'
    answer = await ingest.post(body, content_type="application/x-ndjson")
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 2,
        "rejected": [{"index": 1, "code": "not_parseable", "message": "line 2 is not JSON"}],
    }


async def test_a_bad_event_is_listed_and_kept_and_the_others_are_taken(ingest: Ingest) -> None:
    bad = {"customer_id": "c-2", "occurred_at": "2199-01-01T00:00:00Z"}
    answer = await ingest.post([{"customer_id": "c-1"}, bad, {"customer_id": "c-3"}])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [(item["index"], item["code"]) for item in answer.json()["rejected"]] == [(1, "in_future")]
    [letter] = ingest.letters()
    assert (letter.reason, letter.customer_id, letter.origin) == ("in_future", "c-2", "http:/v1/events")
    assert json.loads(letter.payload) == bad


async def test_nothing_good_is_422_with_the_reason(ingest: Ingest) -> None:
    answer = await ingest.post({"event": "x"})
    assert answer.status_code == 422
    assert answer.json() == {
        "code": "invalid",
        "message": "customer_id is missing",
        "detail": "item 0: customer_id is missing",
        "accepted": 0,
        "rejected": [{"index": 0, "code": "invalid", "message": "customer_id is missing"}],
    }
    assert len(ingest.letters()) == 1


async def test_a_bad_event_sent_again_is_the_same_dead_letter(ingest: Ingest, clock: ManualClock) -> None:
    await ingest.post({"event": "x"})
    clock.advance(timedelta(hours=1))
    await ingest.post({"event": "x"})
    assert len({letter.id for letter in ingest.letters()}) == 1


async def test_gzip_is_understood(ingest: Ingest) -> None:
    answer = await ingest.post(gzip.compress(b'{"customer_id": "c-17"}'), content_encoding="gzip")
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "not_parseable"),
        (b"", {}, 400, "not_parseable"),
        (b"\x1f\x8bnonsense", {}, 400, "not_parseable"),
        (b"[" * 100_000, {}, 400, "not_parseable"),
        (b" " * 2_000_000, {}, 413, "too_large"),
        (gzip.compress(b" " * 2_000_000), {}, 413, "too_large"),
        (b"[" + b",".join([b'{"customer_id": "a"}'] * 1001) + b"]", {}, 413, "too_large"),
        (b"a,b", {"content_type": "text/csv"}, 415, "unsupported_media_type"),
        (b"x", {"content_encoding": "br"}, 415, "unsupported_media_type"),
        (b"{}", {"authorization": "Bearer nonsense"}, 401, "unauthorized"),
        (b"{}", {"authorization": ""}, 401, "unauthorized"),
    ],
)
async def test_what_cannot_be_taken_is_refused_whole(
    ingest: Ingest, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await ingest.post(body, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "detail"}
    assert not ingest.messages()


async def test_a_key_in_the_query_string_is_no_key(ingest: Ingest) -> None:
    secret = await ingest.keys.create("reserve")
    answer = await ingest.http.post(
        f"/v1/events?api_key={secret}&key={secret}", content=b"{}", headers={"authorization": ""}
    )
    assert answer.status_code == 401


async def test_a_key_without_the_scope_is_forbidden(ingest: Ingest) -> None:
    reader = await ingest.key("reserve", "read")
    for method, path in (("POST", "/v1/events"), ("PUT", "/v1/customers/c"), ("DELETE", "/v1/customers/c")):
        answer = await ingest.http.request(method, path, content=b"{}", headers=reader)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_key_writes_to_its_own_product_alone(ingest: Ingest) -> None:
    answer = await ingest.http.post(
        "/v1/events", json={"customer_id": "c-17"}, headers=await ingest.key("pos", "ingest")
    )
    assert answer.status_code == 202
    assert [message.product for message in ingest.messages()] == ["pos"]  # type: ignore[union-attr]
    answer = await ingest.http.post("/v1/events", json={"customer_id": "c-17", "product": "pos"})
    assert answer.status_code == 422


async def test_the_late_window_is_the_product_s(ingest: Ingest) -> None:
    two_days_ago = {"customer_id": "c-17", "occurred_at": "2026-02-28T09:30:00Z"}
    assert (await ingest.post(two_days_ago)).status_code == 202
    headers = await ingest.key("pos", "ingest")
    answer = await ingest.http.post("/v1/events", json=two_days_ago, headers=headers)
    assert answer.json()["code"] == "too_old"


async def test_a_key_of_a_product_that_is_not_configured_may_try_again(ingest: Ingest) -> None:
    headers = await ingest.key("gone", "ingest")
    answer = await ingest.http.post("/v1/events", json={"customer_id": "c-17"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unknown_product")
    assert int(answer.headers["retry-after"]) > 0


async def test_history_is_taken_as_backfill(ingest: Ingest) -> None:
    old = {"customer_id": "c-17", "occurred_at": "2020-01-01"}
    assert (await ingest.http.post("/v1/events?backfill=true", json=old)).status_code == 202
    assert (await ingest.http.post("/v1/events?backfill=false", json=old)).status_code == 422
    assert (await ingest.http.post("/v1/events?backfill=maybe", json=old)).json()["code"] == "invalid"
    [event] = ingest.messages()
    assert isinstance(event, Event)
    assert event.backfill


async def test_a_log_that_does_not_acknowledge_is_503_and_nothing_is_promised(ingest: Ingest) -> None:
    ingest.log.fail_next()
    answer = await ingest.post({"customer_id": "c-17"})
    assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await ingest.post({"customer_id": "c-17"})).status_code == 202
    assert len(ingest.messages()) == 1


async def test_what_was_in_doubt_is_sent_again_under_the_same_id(ingest: Ingest) -> None:
    ingest.log.fail_next(is_in_doubt=True)
    event = {"customer_id": "c-17", "event_id": "e-1"}
    assert [(await ingest.post(event)).status_code for _ in range(2)] == [503, 202]
    assert [message.event_id for message in ingest.messages()] == ["e-1", "e-1"]  # type: ignore[union-attr]


async def test_a_profile_is_put_whole(ingest: Ingest, clock: ManualClock) -> None:
    answer = await ingest.http.put("/v1/customers/c-17", json={"name": "Sakura", "time_zone": "Asia/Tokyo"})
    assert answer.status_code == 202
    assert answer.json() == {"customer_id": "c-17", "received_at": "2026-03-02T09:30:00Z"}
    [changed] = ingest.messages()
    assert isinstance(changed, ProfileChanged)
    assert (changed.profile.name, changed.merge, changed.backfill) == ("Sakura", False, False)
    assert changed.received_us == clock.now_us()


@pytest.mark.parametrize("customer_id", ["東京/1", "a b", "50%", "..", "c-17/days"])
async def test_ids_with_any_character_are_put_and_erased(ingest: Ingest, customer_id: str) -> None:
    path = "/v1/customers/" + "".join(f"%{byte:02X}" for byte in customer_id.encode())
    assert (await ingest.http.put(path, json={})).status_code == 202
    assert (await ingest.http.delete(path)).status_code == 202
    assert [message.customer_id for message in ingest.messages()] == [customer_id] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"time_zone": "Asia/Edo"}, 422, "time_zone: "),
        ({"timezone": "Asia/Tokyo"}, 422, "unknown field 'timezone'"),
        ([], 400, "a profile is a JSON object"),
        ("{", 400, "a profile is a JSON object"),
        ({"properties": {"x": "x" * 40_000}}, 413, "a profile holds"),
        ({"properties": {"n": [10**30]}}, 422, "properties: a whole number of more than 64 bits"),
    ],
)
async def test_a_bad_profile_is_refused_with_its_field(
    ingest: Ingest, body: object, status: int, message: str
) -> None:
    answer = await ingest.http.put("/v1/customers/c-17", json=body)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(message)
    assert not ingest.messages()


@pytest.mark.parametrize("path", ["/v1/customers/%20", "/v1/customers/a%00b", "/v1/customers/" + "c" * 201])
async def test_a_bad_id_in_the_path_is_refused(ingest: Ingest, path: str) -> None:
    answer = await ingest.http.put(path, json={})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_customer_is_erased_with_a_receipt(ingest: Ingest, clock: ManualClock) -> None:
    answer = await ingest.http.delete("/v1/customers/c-17")
    assert (answer.status_code, answer.json()["customer_id"]) == (202, "c-17")
    assert answer.json()["receipt_id"] == "made-1"
    prefix = ingest.http.headers["Authorization"].removeprefix("Bearer ")[:11]
    assert ingest.messages() == [
        CustomerErased(
            product="reserve",
            customer_id="c-17",
            received_us=clock.now_us(),
            receipt_id="made-1",
            asked_by=prefix,
        )
    ]


async def test_customers_are_posted_as_a_spreadsheet(ingest: Ingest) -> None:
    body = "customer_id,name,time_zone\nc-1,さくら,Asia/Tokyo\nc-2,x,Asia/Edo\n".encode("cp932")
    answer = await ingest.http.post(
        "/v1/customers?backfill=true", content=body, headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert answer.json()["rejected"][0]["message"].startswith("line 3: time_zone: ")
    [changed] = ingest.messages()
    assert isinstance(changed, ProfileChanged)
    assert (changed.profile.name, changed.backfill) == ("さくら", True)
    assert ingest.letters()[0].origin == "import:/v1/customers"


async def test_a_spreadsheet_under_another_name_is_refused(ingest: Ingest) -> None:
    answer = await ingest.http.post("/v1/customers", json={"customer_id": "c"})
    assert answer.status_code == 415


async def test_readiness_asks_log_and_keys(ingest: Ingest) -> None:
    assert (await ingest.http.get("/readyz")).json() == {
        "status": "ok",
        "checks": {"log": "ok", "keys": "ok", "workers": "ok"},
    }
    ingest.log.fail_next()
    answer = await ingest.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert (await ingest.http.get("/healthz")).status_code == 200


async def test_metrics_count_what_was_accepted_and_refused_by_reason(ingest: Ingest) -> None:
    before = await metric_lines(ingest)
    await ingest.post([{"customer_id": "a"}, {"customer_id": "b"}, {}])
    await ingest.http.put("/v1/customers/c-17", json={})
    after = await metric_lines(ingest)
    accepted = 'usage_triggers_events_accepted_total{dialect="native",product="reserve"}'
    rejected = 'usage_triggers_events_rejected_total{product="reserve",reason="invalid"}'
    profiles = 'usage_triggers_profiles_accepted_total{product="reserve"}'
    grown = [after[name] - before.get(name, 0) for name in (accepted, rejected, profiles)]
    assert grown == [2, 1, 1]


async def metric_lines(ingest: Ingest) -> dict[str, float]:
    text = (await ingest.http.get("/metrics")).text
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_the_openapi_page_names_every_route_its_key_and_every_status(ingest: Ingest) -> None:
    document = (await ingest.http.get("/openapi.json")).json()
    post = document["paths"]["/v1/events"]["post"]
    assert set(post["responses"]) == {"202", "400", "401", "403", "408", "413", "415", "422", "429", "503"}
    assert post["security"] == [{"ApiKey": []}]
    # Whatever asks for a key may find that it has sent too much of late.
    routes = [route for path in document["paths"].values() for route in path.values() if "security" in route]
    assert all({"401", "403", "429"} <= set(route["responses"]) for route in routes)
    assert "ApiKey" in document["components"]["securitySchemes"]
    assert "$defs" not in json.dumps(document)
    page = (await ingest.http.get("/docs")).text
    for route in ("/v1/events", "/v1/customers", "/v1/customers/{customer_id}", "/readyz"):
        assert route in page


async def test_unknown_routes_answer_as_everything_does(ingest: Ingest) -> None:
    assert (await ingest.http.get("/v2/events")).json()["code"] == "not_found"
    assert (await ingest.http.get("/v1/events")).json()["code"] == "method_not_allowed"
