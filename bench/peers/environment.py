"""An environment of the peers' own, in the user's cache: what they need never comes near our dependencies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
INSTALL_SECONDS_MAX = 600
SAID_CHARS_MAX = 200


def interpreter() -> str:
    """The interpreter that has the peers; made on the first call on this machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usage-triggers"
    key = sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = cache / f"bench-peers-{key}"
    if not (home / ".ready").exists():
        print(f"installing the peers into {home.name}, once", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        _install(home)
        (home / ".ready").touch()
    return str(home / "bin" / "python")


def _install(home: Path) -> None:
    uv = shutil.which("uv")
    make = [uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    _run([*make, str(home)])
    python = str(home / "bin" / "python")
    install = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    _run([*install, "--quiet", "-r", str(REQUIREMENTS)])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS_MAX)


def run(
    program: str,
    arguments: Sequence[str],
    *,
    seconds_max: float,
    log: Path,
    python: str | None = None,
    added: Mapping[str, str] | None = None,
) -> None:
    """One of the programs, to its end; raises RuntimeError with its last line when it fails."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            [python or interpreter(), str(HERE / "programs" / program), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(added or {})},
            cwd=log.parent,
        )
        try:
            code = child.wait(seconds_max)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            child.kill()
            child.wait()
    if code != 0:
        how = f"ended with {code}" if code is not None else f"took more than {seconds_max:.0f} s"
        said = log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "nothing was said")
        raise RuntimeError(f"{program} {how}: {last[-SAID_CHARS_MAX:]}")
