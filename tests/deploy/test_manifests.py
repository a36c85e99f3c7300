"""Image, compose file and Kubernetes manifests, judged by the programs that will read them."""

from pathlib import Path
from typing import Any

import pytest

from services.evaluator.worker import GROUP
from services.notifier.channels.mailer import PORTS
from services.serving import GRACEFUL_SECONDS
from services.supervisor import STOP_SECONDS_MAX
from shared.config_file import load_config
from shared.events import TOPIC_EVENTS
from tests.deploy.custom_resources import problems
from tests.deploy.routes import Gateway, Proxy, every_route
from tests.deploy.tools import DEPLOY, Manifest, accepted, built, read, run

OVERLAYS = ("small", "production")
WITH_SCHEMAS = ("HTTPRoute", "ScaledObject")
OTHERS_RESOURCES = {"HTTPRoute", "ScaledObject", "PodMonitor", "PrometheusRule"}
"""Not Kubernetes' own: kubernetes-validate has no schema of them."""


def pods(manifests: list[Manifest]) -> dict[str, Any]:
    """The pod of each Deployment and Job, by its name."""
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]
        for manifest in manifests
        if manifest["kind"] in ("Deployment", "Job")
    }


def test_the_dockerfile_is_what_hadolint_wants() -> None:
    accepted(run("hadolint", DEPLOY / "Dockerfile"))


def test_compose_reads_the_compose_file() -> None:
    # Uninterpolated: compose-go's own command takes no variable from the environment.
    assert "ingest:" in accepted(run("compose-go", "-no-interpolation", DEPLOY / "compose.yaml"))


def test_with_no_variable_set_compose_says_what_to_do() -> None:
    refused = run("compose-go", DEPLOY / "compose.yaml")
    assert refused.returncode != 0
    lines = refused.stderr.splitlines()
    # Nothing else is asked for: whatever has no default is the one password.
    assert all("put POSTGRES_PASSWORD=" in line for line in lines)


def test_every_image_of_the_compose_file_is_a_variable_and_every_service_is_bounded() -> None:
    for name, service in read(DEPLOY / "compose.yaml")["services"].items():
        assert service["image"].startswith("${"), name
        assert service["deploy"]["resources"]["limits"]["memory"], name


def test_no_service_of_ours_may_write_its_root_or_become_more_than_it_is() -> None:
    services = read(DEPLOY / "compose.yaml")["services"]
    for name in ("proxy", "ingest", "evaluator", "notifier", "migrate"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_haproxy_reads_its_configuration() -> None:
    accepted(run("haproxy", "-c", "-f", DEPLOY / "haproxy" / "haproxy.cfg"))


@pytest.mark.parametrize("entry", [Proxy(), Gateway()], ids=["haproxy", "gateway"])
async def test_every_route_reaches_the_service_that_has_it(entry: Proxy | Gateway, tmp_path: Path) -> None:
    wrong = {
        route: entry.backend(route)
        for service, route in await every_route(tmp_path)
        if entry.backend(route) != service
    }
    assert wrong == {}


@pytest.mark.parametrize("entry", [Proxy(), Gateway()], ids=["haproxy", "gateway"])
@pytest.mark.parametrize(
    "path", ["/", "/assets/0123456789ab/inbox.css", "/slack/actions", "/sign-in", "/live"]
)
def test_what_a_person_opens_reaches_the_notifier(entry: Proxy | Gateway, path: str) -> None:
    assert entry.backend(("GET", path)) == "notifier"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_every_manifest_to_the_letter(overlay: str, tmp_path: Path) -> None:
    rendered = tmp_path / f"{overlay}.yaml"
    rendered.write_text(
        accepted(run("kustomize", "build", DEPLOY / "kubernetes" / "overlays" / overlay)), encoding="utf-8"
    )
    said = run("kubernetes-validate", "--strict", rendered)
    unknown = {line.split("kind ")[1].split()[0] for line in said.stdout.splitlines() if "WARN" in line}
    assert unknown <= OTHERS_RESOURCES
    assert "ERROR" not in said.stdout + said.stderr
    assert accepted(said) is not None


@pytest.mark.parametrize("kind", WITH_SCHEMAS)
def test_whose_kinds_we_use_would_take_them_to_the_letter(kind: str) -> None:
    ours = [manifest for manifest in built("production") if manifest["kind"] == kind]
    assert ours
    assert [problem for manifest in ours for problem in problems(manifest)] == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("HTTPRoute", {"rule": []}),
        ("HTTPRoute", {"rules": [{"matches": [{"path": {"type": "Prefix", "value": "/"}}]}]}),
        ("ScaledObject", {"scaleTargetRef": {"name": "evaluator"}}),
        ("ScaledObject", {"scaleTargetRef": {}, "triggers": []}),
    ],
)
def test_what_they_would_not_take_is_found(kind: str, wrong: Manifest) -> None:
    (ours,) = (manifest for manifest in built("production") if manifest["kind"] == kind)
    assert problems({**ours, "spec": wrong}) != []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_meet_the_restricted_standard(overlay: str) -> None:
    found = pods(built(overlay))
    assert set(found) == {"ingest", "evaluator", "notifier", "migrate"}
    for pod in found.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()


def test_a_pod_has_time_to_finish_what_it_has_begun() -> None:
    for name, pod in pods(built("production")).items():
        if name != "migrate":
            asleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            # A worker that does not stop in time is cancelled, and given as long again.
            longest = asleep + GRACEFUL_SECONDS + 2 * STOP_SECONDS_MAX
            assert pod["terminationGracePeriodSeconds"] >= longest


def test_the_evaluator_is_never_scaled_to_none_and_by_the_lag_of_its_own_group() -> None:
    scaled = next(manifest for manifest in built("production") if manifest["kind"] == "ScaledObject")
    assert scaled["spec"]["minReplicaCount"] >= 1
    assert scaled["spec"]["triggers"][0]["metadata"]["consumerGroup"] == GROUP
    assert scaled["spec"]["triggers"][0]["metadata"]["topic"] == TOPIC_EVENTS


def test_the_notifier_reaches_what_channels_and_sign_in_talk_to() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in built("production") if m["kind"] == "NetworkPolicy"}
    (out,) = policies["channels"]["egress"]
    assert {port["port"] for port in out["ports"]} >= {443, PORTS["starttls"], PORTS["tls"]}


def test_whatever_is_scaled_by_a_machine_says_no_number_itself() -> None:
    manifests = built("production")
    deployments = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "Deployment"}
    for manifest in manifests:
        if manifest["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            assert "replicas" not in deployments[manifest["spec"]["scaleTargetRef"]["name"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_manifest_holds_a_secret(overlay: str) -> None:
    assert [manifest for manifest in built(overlay) if manifest["kind"] == "Secret"] == []


@pytest.mark.parametrize(
    "file", [path.relative_to(DEPLOY) for path in sorted(DEPLOY.rglob("usage-triggers.yaml"))], ids=str
)
def test_every_configuration_that_is_shipped_can_be_used(file: Path) -> None:
    config = load_config(DEPLOY / file, {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x"})
    assert config.products
