"""Builds the project's image, and stand-ins for the public ones, on a Debian made here."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.servers.base import Missing
from tests.servers.jars import kafka_jars

ROOT = Path(__file__).parents[3]
PREFIX = "localhost/usage-triggers-tests"
BASE = f"{PREFIX}/debian:latest"
OURS = f"{PREFIX}/usage-triggers:latest"
STAND_INS = ("python", "kafka", "postgres", "haproxy", "receiver")

_RELEASE = "bookworm"
_PACKAGES = "ca-certificates,libpython3-stdlib,python3-minimal,tzdata"
_UNREAD = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
_CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
_LIMITS = """[containers]
default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""For machines without systemd, with cgroups of both versions, on which limits can only be lowered."""


def require_podman() -> None:
    """Raises Missing where images cannot be built or containers not be run."""
    absent = [name for name in ("podman", "debootstrap", "runc") if shutil.which(name) is None]
    if absent:
        raise Missing(f"containers need {', '.join(absent)} (Debian: apt-get install {' '.join(absent)})")
    if not any(Path(place, "aardvark-dns").exists() for place in ("/usr/lib/podman", "/usr/libexec/podman")):
        raise Missing(
            "containers need names on their network (Debian: apt-get install netavark aardvark-dns)"
        )
    if shutil.which("catatonit") is None and not Path("/usr/libexec/podman/catatonit").exists():
        raise Missing("containers need an init (Debian: apt-get install catatonit)")
    if os.geteuid() != 0:
        raise Missing("debootstrap makes the base image, and only root may run it")
    if find_spec("podman_compose") is None:
        raise Missing("the Python package podman-compose is not installed")


def ran(command: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None) -> str:
    """What a program prints; raises RuntimeError with what it says when it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        # debootstrap complains on standard output.
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise RuntimeError(f"{' '.join(command)} failed:\n{said[-3000:]}")
    return done.stdout.strip()


def podman(*arguments: str, seconds: float = 60) -> str:
    """What podman prints; raises RuntimeError with what it says when it fails."""
    return ran(["podman", *arguments], seconds=seconds, env=environment())


def environment() -> dict[str, str]:
    """Ours, with podman told how to run here; the file is small and stays."""
    limits = Path(tempfile.gettempdir(), "usage-triggers-containers.conf")
    if not limits.exists():
        limits.write_text(_LIMITS)
    return {**os.environ, "CONTAINERS_CONF": str(limits)}


def build_all() -> None:
    """Every image of the tests; what has not changed comes from podman's cache."""
    if not podman("images", "--quiet", BASE):
        _make_base()
    folder = Path(__file__).parent / "stand_ins"
    for name in STAND_INS:
        _build(folder / "Containerfile", folder, f"{PREFIX}/{name}:latest", "--target", name)
    bases = {"BUILD_IMAGE": f"{PREFIX}/python:latest", "RUNTIME_IMAGE": BASE}
    given = [part for name, image in bases.items() for part in ("--build-arg", f"{name}={image}")]
    _build(ROOT / "deploy" / "Dockerfile", ROOT, OURS, *given)


def _build(file: Path, context: Path, tag: str, *more: str) -> None:
    jars = f"jars={kafka_jars()}"
    how = ("--network", "host", "--isolation", "chroot", "--layers", "--build-context", jars)
    podman("build", *how, *more, "-f", str(file), "-t", tag, str(context), seconds=600)


def _make_base() -> None:
    """A minimal Debian with Python; trusts whom this machine trusts, so that packages can be had in it."""
    with tempfile.TemporaryDirectory(prefix="usage-triggers-debian-") as scratch:
        root = Path(scratch, "root")
        try:
            ran(
                ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _RELEASE, str(root)],
                seconds=600,
            )
        except RuntimeError as error:
            raise Missing(f"debootstrap could not make a base image: {str(error)[-300:]}") from error
        for folder in _UNREAD:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        if Path("/", _CERTIFICATES).exists():
            shutil.copyfile(Path("/", _CERTIFICATES), root / _CERTIFICATES)
        archive = Path(scratch, "root.tar")
        ran(["tar", "-C", str(root), "-cf", str(archive), "."], seconds=300)
        podman("import", str(archive), BASE, seconds=300)
