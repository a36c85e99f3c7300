"""What could not be taken, from its refusal to the day that it makes active after all."""

import json
from pathlib import Path

import httpx

from tests.e2e.running import Serving, polled, run, serving

TOO_OLD = "2025-03-02T10:00:00Z"
CONFIG = "products:\n  reserve: {}\n  pos: {}\n"


def letters(directory: Path, *options: str) -> list[dict[str, str]]:
    listed = run("dead-letters", "list", "--data", "data", *options, directory=directory)
    return [json.loads(line) for line in listed.stdout.splitlines()]


def replay(service: Serving, key: str, directory: Path, *options: str) -> tuple[str, list[str]]:
    """What the command says in the end, and of each letter that is refused once more."""
    again = ("dead-letters", "replay", "--data", "data", "--url", service.url, "--key", key, *options)
    result = run(*again, directory=directory)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip(), result.stderr.splitlines()


def active_days(http: httpx.Client, customer_id: str) -> list[str]:
    asked = {"from": "2025-03-01", "to": "2025-03-03"}
    path = f"/v1/customers/{customer_id}/days"
    answer = polled(lambda: http.get(path, params=asked), lambda found: found.status_code == 200)
    return [day["day"] for day in answer.json()["days"] if day["active"]]


def test_what_was_refused_is_sent_again_to_where_it_came_and_becomes_a_day(tmp_path: Path) -> None:
    track = {"type": "track", "event": "Used", "groupId": "segment", "timestamp": TOO_OLD, "messageId": "m-1"}
    cloudevent = {"specversion": "1.0", "id": "e", "source": "/s", "type": "used", "subject": "cloud"}
    with serving(tmp_path) as service:
        key = service.first_key()
        with service.client(key) as http:
            http.post("/v1/events", json=[{"customer_id": "native", "occurred_at": TOO_OLD}])
            http.post("/v1/batch", json={"batch": [track]})
            http.post(
                "/v1/events",
                content=json.dumps({**cloudevent, "time": TOO_OLD}),
                headers={"Content-Type": "application/cloudevents+json"},
            )
            kept = letters(tmp_path, "--reason", "too_old")
            assert [letter["customer_id"] for letter in kept] == ["native", "segment", "cloud"]
            assert replay(service, key, tmp_path) == ("3 accepted, 0 still refused", [])
            for customer_id in ("native", "segment", "cloud"):
                assert active_days(http, customer_id) == ["2025-03-02"]


def test_what_fails_again_is_told_stays_one_letter_and_does_not_stop_the_others(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        key = service.first_key()
        with service.client(key) as http:
            nameless = {"event": "x", "occurred_at": TOO_OLD}
            http.post("/v1/events", content=b'broken\n{"customer_id": "a"}', headers=NDJSON)
            http.post("/v1/events", json=[nameless, {"customer_id": "native", "occurred_at": TOO_OLD}])
            http.post("/v1/customers", content=CUSTOMERS, headers={"Content-Type": "text/csv"})
            before = {letter["id"]: letter for letter in letters(tmp_path)}
            assert len(before) == 4
            for _ in range(2):
                said, refused = replay(service, key, tmp_path)
                assert said == "1 accepted, 3 still refused"
                assert sorted(line.partition(": ")[2] for line in refused) == [
                    "invalid: customer_id is missing",
                    "invalid: line 2: time_zone: 'Asia/Edo' is no IANA time zone, "
                    "such as Asia/Tokyo or Europe/Berlin",
                    "nothing that could be sent again",
                ]
            assert {letter["id"] for letter in letters(tmp_path)} == set(before)
            assert active_days(http, "native") == ["2025-03-02"]


def test_a_key_sends_the_letters_of_its_own_product_alone(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")
    with serving(tmp_path, "--config", "c.yaml") as service:
        keys = {}
        for product in ("reserve", "pos"):
            create = ("keys", "create", "--product", product, "--config", "c.yaml", "--data", "data")
            keys[product] = run(*create, directory=tmp_path).stdout.strip()
            with service.client(keys[product]) as http:
                http.post("/v1/events", json={"customer_id": product, "occurred_at": TOO_OLD})
        assert replay(service, keys["pos"], tmp_path) == ("1 accepted, 0 still refused", [])
        with service.client(keys["pos"]) as http:
            assert active_days(http, "pos") == ["2025-03-02"]
            assert http.get("/v1/customers/reserve").status_code == 404


def test_of_an_erased_customer_no_letter_is_left_to_be_sent_again(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        key = service.first_key()
        with service.client(key) as http:
            for n in range(3):
                late = {"customer_id": "gone", "occurred_at": TOO_OLD, "event_id": f"e-{n}"}
                http.post("/v1/events", json=[late, {"customer_id": "gone"}])
            http.post("/v1/events", json={"customer_id": "kept", "occurred_at": TOO_OLD, "event_id": "e"})
            http.post("/v1/events", json={"customer_id": "gone", "occurred_at": TOO_OLD, "event_id": "last"})
            erasing = http.delete("/v1/customers/gone").json()
            path = f"/v1/erasures/{erasing['receipt_id']}"
            receipt = polled(lambda: http.get(path), lambda found: found.status_code == 200).json()
        assert receipt["removed"] == {
            "customers": 1,
            "triggers": 0,
            "tasks": 0,
            "deliveries": 0,
            "dead_letters": 4,
        }
        assert (receipt["asked_at"], receipt["asked_by"]) == (erasing["received_at"], key[:11])
        assert "gone" not in str(receipt)
        assert [letter["customer_id"] for letter in letters(tmp_path)] == ["kept"]


NDJSON = {"Content-Type": "application/x-ndjson"}
CUSTOMERS = "customer_id,time_zone\nc-1,Asia/Edo\n"
