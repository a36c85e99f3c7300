"""The real SDKs, installed once into a cache of the user, as their own users install them."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS_MAX = 300


@pytest.fixture(scope="session")
def python_sdks() -> Path:
    """An interpreter that has the Python SDKs."""
    directory = _cache(HERE / "requirements.txt")
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(directory)], directory.parent)
        _run(
            [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")], directory
        )
        (directory / "complete").touch()
    return python


@pytest.fixture(scope="session")
def node_sdks() -> Path:
    """A directory with the Node SDKs in it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _missing("node and npm are not installed")
    directory = _cache(HERE / "package.json")
    if not (directory / "complete").exists():
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", directory)
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"], directory)
        (directory / "complete").touch()
    return directory


def _cache(manifest: Path) -> Path:
    """A directory of this manifest's own, so that a changed pin installs anew."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    digest = hashlib.sha256(manifest.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return home / "usage-triggers" / "clients" / f"{manifest.stem}-{digest}"


def _run(command: Sequence[str], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=INSTALL_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        _missing(f"the SDKs cannot be installed: {' '.join(command[:4])}: {error}")


def _missing(what: str) -> None:
    # On a developer's machine it is worth a line; where it must be there, a failure.
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
