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


def python() -> str:
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
    interpreter = str(home / "bin" / "python")
    install = [uv, "pip", "install", "--python", interpreter] if uv else [interpreter, "-m", "pip", "install"]
    _run([*install, "--quiet", "-r", str(REQUIREMENTS)])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS_MAX)


def run(program: str, arguments: Sequence[str], *, seconds_max: float, log: Path, **added: str) -> None:
    """One of the programs, to its end; raises RuntimeError with the last of what it said when it fails."""
    environment: Mapping[str, str] = os.environ | added
    with log.open("wb") as output:
        child = subprocess.Popen(
            [python(), str(HERE / "programs" / program), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
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
        said = " ".join(log.read_text(errors="replace").split())[-300:]
        raise RuntimeError(f"{program} {how}: {said}")
