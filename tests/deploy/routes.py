"""Every route of the three services, and where the proxy and the Gateway send it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.bootstrap import SERVICES, Service, assemble
from services.foundations import embedded
from shared.clock import SystemClock
from shared.config import default_config
from shared.settings import Settings
from tests.deploy.tools import DEPLOY, read

Route = tuple[str, str]
"""Method and path, with an example for each parameter."""

INTERNAL = ("/healthz", "/readyz", "/metrics")


async def routes_of(service: Service, directory: Path) -> list[Route]:
    """What `service` alone answers, but for the probes that each of them has."""
    settings = Settings(USAGE_TRIGGERS_DATA=directory)  # type: ignore[call-arg]
    async with embedded(default_config(), settings, SystemClock()) as base:
        assembly = assemble(base, [service])
        try:
            described = assembly.app.openapi()["paths"]
        finally:
            await assembly.close()
    return [
        (method.upper(), re.sub(r"\{\w+\}", "c-17", path))
        for path, methods in described.items()
        for method in methods
        if path not in INTERNAL
    ]


async def every_route(directory: Path) -> list[tuple[Service, Route]]:
    """Each route, and the service that has it."""
    found = [(service, await routes_of(service, directory / service)) for service in SERVICES]
    return [(service, route) for service, routes in found for route in routes]


class Proxy:
    """deploy/haproxy/haproxy.cfg's `use_backend` lines, as HAProxy reads them: the first that fits."""

    def __init__(self) -> None:
        text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
        self._lists = dict(re.findall(r"^\s+acl (\w+)\s+(.+)$", text, re.M))
        self._rules = re.findall(r"^\s+use_backend (\w+)\s+if (.+)$", text, re.M)
        self._default = re.findall(r"^\s+default_backend (\w+)$", text, re.M)[0]

    def backend(self, route: Route) -> str:
        return next((name for name, rule in self._rules if self._fits(rule, route)), self._default)

    def _fits(self, rule: str, route: Route) -> bool:
        if rule.startswith("{"):
            return _condition_fits(rule.strip("{} "), route)
        return all(_condition_fits(self._lists[name], route) for name in rule.split())


def _condition_fits(condition: str, route: Route) -> bool:
    kind, *values = condition.split()
    method, path = route
    return {
        "path": path in values,
        "path_beg": path.startswith(tuple(values)),
        "method": method in values,
    }[kind]


class Gateway:
    """The HTTPRoute, as the Gateway API has it: an exact path, then the longest prefix, then the method."""

    def __init__(self) -> None:
        route = read(DEPLOY / "kubernetes" / "components" / "gateway" / "route.yaml")
        self._rules: Sequence[Any] = route["spec"]["rules"]

    def backend(self, route: Route) -> str:
        fitting = [
            (_weight(match), rule["backendRefs"][0]["name"])
            for rule in self._rules
            for match in rule["matches"]
            if "backendRefs" in rule and _match_fits(match, route)
        ]
        return max(fitting)[1]


def _match_fits(match: Any, route: Route) -> bool:
    method, path = route
    value = match["path"]["value"]
    if match.get("method", method) != method:
        return False
    if match["path"]["type"] == "Exact":
        return bool(path == value)
    return path == value or path.startswith(value.rstrip("/") + "/")


def _weight(match: Any) -> tuple[bool, int, bool]:
    return match["path"]["type"] == "Exact", len(match["path"]["value"]), "method" in match
