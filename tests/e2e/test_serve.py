"""`usage-triggers serve` as a stranger meets it: first event, bad input, stopping and starting again."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import Serving, assert_one_line, clean_environment, polled, run, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Serving) -> Iterator[httpx.Client]:
    with service.client(service.first_key()) as http:
        yield http


# The first five minutes


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_that_serve_prints_sends_a_first_event(tmp_path: Path) -> None:
    with serving(tmp_path) as fresh:
        curl = fresh.until(r"(curl .*)\n")[1]
        sent = subprocess.run(
            ["bash", "-c", curl],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert json.loads(sent.stdout) == {"accepted": 1, "rejected": []}
        with fresh.client(fresh.first_key()) as http:
            found = polled(lambda: http.get("/v1/customers/c-17/days"), lambda a: a.status_code == 200).json()
    assert found["days"][-1]["active"]
    assert found["streaks"] == [
        {
            "rule": "onboarding",
            "length": 1,
            "calendar_days": 1,
            "started_on": found["days"][-1]["day"],
            "last_active_on": found["days"][-1]["day"],
        }
    ]


def test_the_first_key_is_shown_only_once(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        key = first.first_key()
    with serving(tmp_path) as second, second.client(key) as http:
        assert http.get("/v1/tasks").status_code == 200
        second.stop()
    assert key not in second.said


def test_the_pages_of_an_operator_answer(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path


def test_the_inbox_is_at_the_root(client: httpx.Client) -> None:
    page = client.get("/", headers={"Accept-Language": "en"})
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


# Bad input over HTTP


def _refused(answer: httpx.Response, *, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    body: dict[str, object] = answer.json()
    assert body["code"] == code
    assert body["message"]
    assert "Traceback" not in answer.text
    return body


def test_a_malformed_body_is_400(client: httpx.Client) -> None:
    _refused(client.post("/v1/events", content=b"{nonsense"), status=400, code="not_parseable")


def test_a_customer_without_an_id_is_422_and_says_which_item(client: httpx.Client) -> None:
    body = _refused(client.post("/v1/events", json=[{"event": "used"}]), status=422, code="invalid")
    assert body["accepted"] == 0
    assert body["rejected"][0]["index"] == 0  # type: ignore[index]


def test_one_bad_event_does_not_fail_the_others(client: httpx.Client) -> None:
    answer = client.post("/v1/events", json=[{"customer_id": "good"}, {"customer_id": ""}])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert [item["index"] for item in answer.json()["rejected"]] == [1]


def test_a_date_of_2199_is_in_the_future(client: httpx.Client) -> None:
    answer = client.post("/v1/events", json={"customer_id": "c-1", "occurred_at": "2199-01-01T00:00:00Z"})
    _refused(answer, status=422, code="in_future")


def test_a_body_of_two_megabytes_is_413(client: httpx.Client) -> None:
    _refused(client.post("/v1/events", content=b"[" + b" " * (2 << 20) + b"]"), status=413, code="too_large")


def test_an_unknown_time_zone_is_422(client: httpx.Client) -> None:
    answer = client.put("/v1/customers/c-1", json={"time_zone": "Asia/Tokio"})
    assert "Asia/Tokio" in str(_refused(answer, status=422, code="invalid")["message"])


def test_no_key_and_a_wrong_key_are_401(service: Serving) -> None:
    for headers in ({}, {"Authorization": "Bearer ut_00000000_" + "a" * 43}):
        answer = httpx.post(f"{service.url}/v1/events", json={"customer_id": "c"}, headers=headers)
        _refused(answer, status=401, code="unauthorized")


def test_what_was_refused_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    with serving(tmp_path) as fresh, fresh.client(fresh.first_key()) as http:
        http.post("/v1/events", json={"customer_id": "late", "occurred_at": "2199-01-01T00:00:00Z"})
        listed = run("dead-letters", "list", "--data", "data", directory=tmp_path)
    (letter,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (letter["reason"], letter["customer_id"]) == ("in_future", "late")


# Bad surroundings: one line, status 1


def test_a_misspelt_key_in_the_configuration_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("products:\n  p:\n    time_zonne: Asia/Tokyo\n", encoding="utf-8")
    result = run("serve", "--config", "c.yaml", "--port", "0", directory=tmp_path)
    assert_one_line(
        result, status=1, said="c.yaml:3: products.p.time_zonne: unknown key; did you mean 'time_zone'?"
    )


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        result = run("serve", "--port", port, directory=tmp_path)
    assert_one_line(result, status=1, said=f"port {port} on 127.0.0.1 is taken")


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    # A file in its place stands for every reason; root, as whom tests often run, may write anywhere.
    (tmp_path / "data").write_text("not a directory", encoding="utf-8")
    result = run("serve", "--port", "0", "--data", "data/here", directory=tmp_path)
    assert_one_line(result, status=1, said="cannot write to data/here")


def test_an_inbox_that_would_be_open_to_others_does_not_start(tmp_path: Path) -> None:
    result = run("serve", "--host", "0.0.0.0", "--port", "0", "--data", "data", directory=tmp_path)
    assert_one_line(
        result, status=1, said="the inbox would be open to everybody who can reach it: add somebody"
    )


def test_a_second_serve_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path):
        result = run("serve", "--port", "0", "--data", "data", directory=tmp_path)
    assert_one_line(result, status=1, said="data is in use by another usage-triggers (process ")


def test_one_service_alone_needs_kafka_and_a_database(tmp_path: Path) -> None:
    assert_one_line(run("evaluator", directory=tmp_path), status=1, said="DATABASE_URL")


def test_a_setting_that_is_no_number_is_told(tmp_path: Path) -> None:
    assert_one_line(run("serve", "--port", "eighty", directory=tmp_path), status=2, said="'--port'")


# Stopping and starting


def test_being_told_to_stop_is_no_failure(tmp_path: Path) -> None:
    service = Serving(tmp_path)
    assert service.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as before, before.client(key := before.first_key()) as http:
        assert http.post("/v1/events", json=[{"customer_id": f"c-{n}"} for n in range(50)]).status_code == 202
        before.stop(number)
    with serving(tmp_path) as after, after.client(key) as http:
        for n in range(50):
            polled(
                lambda n=n: http.get(f"/v1/customers/c-{n}/days"),  # type: ignore[misc]
                lambda answer: answer.status_code == 200 and answer.json()["days"][-1]["active"],
            )
