"""The image and the compose file as an operator runs them: real containers, on a network with names."""

from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.deploy.containers.images import OURS, build_all, podman, require_podman
from tests.deploy.containers.stack import SERVICES, Stack, Webhook
from tests.servers.base import Missing

IMAGE_BYTES_MAX = 250_000_000
TRIES_MAX = 2_000


@pytest.fixture(scope="module")
def images() -> None:
    try:
        require_podman()
        build_all()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return stack.run("ingest", "usage-triggers", "keys", "create", "--product", "default")


@pytest.mark.usefixtures("images")
class TestImage:
    def test_it_is_small(self) -> None:
        assert int(podman("image", "inspect", "--format", "{{.Size}}", OURS)) < IMAGE_BYTES_MAX

    def test_it_runs_as_nobody_in_particular_on_a_root_that_cannot_be_written(self) -> None:
        script = "id -u; touch /opt/x 2>&1; usage-triggers config schema > /dev/null && echo runs"
        user, refusal, runs = self._in_it(script).splitlines()
        assert user == "10001"
        assert "Read-only file system" in refusal
        assert runs == "runs"

    def test_it_has_nothing_to_compile_or_install_with(self) -> None:
        assert self._in_it("command -v cc gcc make pip pip3; python3 -m pip 2>&1 || true").endswith(
            "No module named pip"
        )

    def _in_it(self, script: str) -> str:
        return podman("run", "--rm", "--read-only", "--entrypoint", "sh", OURS, "-c", script)


def test_an_event_posted_to_the_one_address_ends_in_a_webhook(stack: Stack, key: str) -> None:
    with stack.client(key) as client:
        posted = _posted(client, "c-1")
        assert posted.json() == {"accepted": 1, "rejected": []}
        webhooks = stack.received(lambda seen: _customers(seen) == {"c-1"})
        days = client.get("/v1/customers/c-1/days")
    assert webhooks[0]["body"]["type"] == "onboarding.completed"
    assert webhooks[0]["id"] == webhooks[0]["body"]["id"]
    assert days.json()["streaks"][0]["length"] == 1


def test_every_service_answers_behind_the_one_address_and_metrics_do_not(stack: Stack, key: str) -> None:
    with stack.client(key) as client:
        statuses = {
            path: client.get(path).status_code
            for path in (
                "/sign-in",
                "/docs",
                "/healthz",
                "/v1/tasks",
                "/v1/customers/c-1",
                "/metrics",
                "/readyz",
            )
        }
        entrance = client.get("/")
        profile = client.put("/v1/customers/c-2", json={"name": "Fuji"}).status_code
    assert statuses.pop("/metrics") == 404
    assert statuses.pop("/readyz") == 404
    assert set(statuses.values()) == {200}
    assert entrance.is_redirect
    assert entrance.headers["location"].startswith("/sign-in")
    assert profile == 202


def test_a_container_of_each_service_is_killed_and_nothing_is_lost(stack: Stack, key: str) -> None:
    taken: set[str] = set()
    with stack.client(key) as client:
        for service in SERVICES:
            taken |= {_taken(client, f"before-{service}-{n}") for n in range(5)}
            stack.kill(service)
            if service == "ingest":
                refused = _answered(client, "refused")
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            else:
                # The log has room for what a reader that is away will read.
                taken |= {_taken(client, f"while-{service}-is-away-{n}") for n in range(5)}
            stack.start(service)
            taken |= {_taken(client, f"after-{service}-{n}") for n in range(5)}
            stack.wait_until_healthy(service)
    webhooks = stack.received(lambda seen: taken <= _customers(seen))
    ours = [webhook for webhook in webhooks if webhook["body"]["data"]["customer"]["id"] in taken]
    assert len({webhook["id"] for webhook in ours}) == len(taken)


def test_a_service_told_to_stop_finishes_and_ends_well(stack: Stack) -> None:
    for service in SERVICES:
        stack.stop(service)
        assert stack.exit_status(service) == 0, stack.said(service)[-2000:]
        stack.start(service)
    stack.wait_until_healthy(*SERVICES)


def test_no_service_writes_a_secret_into_its_log(stack: Stack, key: str) -> None:
    said = "".join(stack.said(service) for service in (*SERVICES, "migrate", "proxy"))
    for secret in (key, "0f" * 12, "c2VjcmV0LW9mLXRoZS1waG9uZS10b29s"):
        assert secret not in said


def _posted(client: httpx.Client, customer_id: str) -> httpx.Response:
    return client.post("/v1/events", json={"customer_id": customer_id, "event_id": f"use-{customer_id}"})


def _taken(client: httpx.Client, customer_id: str) -> str:
    """Posts until it is acknowledged, as every sender has to; gives the customer's id."""
    for _ in range(TRIES_MAX):
        answer = _answered(client, customer_id)
        if answer.status_code == 202:
            return customer_id
        assert answer.status_code == 503, answer.text
    raise AssertionError(f"not taken in {TRIES_MAX} tries: {answer.text}")


def _answered(client: httpx.Client, customer_id: str) -> httpx.Response:
    """Posts until somebody answers: on a connection that dies with its container nobody does, for the proxy
    does not know whether the event was taken, and does not send it again by itself."""
    said = ""
    for _ in range(TRIES_MAX):
        try:
            return _posted(client, customer_id)
        except httpx.TransportError as error:
            said = repr(error)
    raise AssertionError(f"no answer in {TRIES_MAX} tries: {said}")


def _customers(webhooks: Sequence[Webhook]) -> set[str]:
    return {webhook["body"]["data"]["customer"]["id"] for webhook in webhooks}
