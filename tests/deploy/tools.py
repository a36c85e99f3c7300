"""The programs that judge manifests, and what they make of ours."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECONDS_MAX = 240
_OURS = ROOT / ".tools" / "bin"
_HOW = {
    "compose-go": "make deploy-tools, with Go",
    "hadolint": "make deploy-tools",
    "haproxy": "Debian: apt-get install haproxy",
    "kubernetes-validate": "make deploy-tools",
    "kustomize": "make deploy-tools, with Go",
    "promtool": "Debian: apt-get install prometheus",
}

Manifest = dict[str, Any]


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs one of the programs to its end; skips the test where it is missing, saying how to have it."""
    found = shutil.which(name, path=f"{_OURS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"no {name} ({_HOW[name]})")
    return subprocess.run(
        [found, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def accepted(done: subprocess.CompletedProcess[str]) -> str:
    """What a program printed that had nothing to complain about."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def built(overlay: str) -> list[Manifest]:
    """Every manifest of a kustomize overlay."""
    said = accepted(run("kustomize", "build", DEPLOY / "kubernetes" / "overlays" / overlay))
    return [manifest for manifest in yaml.safe_load_all(said) if manifest]
