"""Resources that are not Kubernetes' own, held against the schemas of those who made their kinds."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from tests.deploy.tools import ROOT, Manifest, read

CRDS = ROOT / ".tools" / "crds"


def problems(manifest: Manifest) -> list[str]:
    """What its schema has against it, a line each; skips the test where there is no schema of its kind."""
    found = jsonschema_rs.validator_for(_closed(_schema_of(manifest))).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


def _schema_of(manifest: Manifest) -> Any:
    """Of the version that the manifest names, which has to be one that is served."""
    group, _, version = manifest["apiVersion"].partition("/")
    for definition in _definitions():
        if (definition["group"], definition["names"]["kind"]) == (group, manifest["kind"]):
            served = {one["name"]: one for one in definition["versions"] if one["served"]}
            return served[version]["schema"]["openAPIV3Schema"]
    pytest.skip(f"no schema of {manifest['kind']} (make deploy-tools, with Go)")


def _definitions() -> Iterator[Mapping[str, Any]]:
    for file in sorted(CRDS.glob("*.yaml")):
        yield read(file)["spec"]


def _closed(schema: Any) -> Any:
    """As the API server reads it with `--validate=strict`: a field that nobody has named is a mistake."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open:
        closed["additionalProperties"] = False
    return closed
