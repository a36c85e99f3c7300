"""Every bench, each in a process of its own, and then the page of what they found: `make bench`.

    python -m bench [NAME ...]

One that fails, or takes too long, is told and the rest goes on; then this ends with 1. Nothing else should
run meanwhile.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import page

HERE = Path(__file__).parent
NOT_OF_SPEED = ("calls", "discover")
"""They ask how well something is judged; their figures have pages of their own."""

NOT_BENCHES = ("__main__", "page")
SECONDS_MAX = 600.0
SECONDS_TO_END_MAX = 30.0


def names() -> list[str]:
    """The benches of speed: every module here that can be run."""
    modules = [path.stem for path in sorted(HERE.glob("*.py")) if "__main__" in path.read_text()]
    packages = [path.parent.name for path in sorted(HERE.glob("*/__main__.py"))]
    return [name for name in modules + packages if name not in NOT_BENCHES + NOT_OF_SPEED]


def main(chosen: Sequence[str]) -> int:
    failed = []
    for name in chosen or names():
        print(f"\n== {name}", flush=True)
        begun = time.perf_counter()
        if not is_run_well([sys.executable, "-m", f"bench.{name}"]):
            failed.append(name)
        print(f"   {time.perf_counter() - begun:.0f} s", flush=True)
    page.main()
    for name in failed:
        print(f"{name} failed: what the page says of it is of an earlier run", file=sys.stderr)
    return 1 if failed else 0


def is_run_well(command: Sequence[str], seconds_max: float = SECONDS_MAX) -> bool:
    """Runs it to its end, and ends it with all that it started when it takes too long."""
    child = subprocess.Popen(command, cwd=HERE.parent, start_new_session=True)
    try:
        return child.wait(seconds_max) == 0
    except subprocess.TimeoutExpired:
        print(f"   took more than {seconds_max:.0f} s", flush=True)
        return False
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """First as a keyboard does, so that it takes its servers and files with it; then with all it started."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(SECONDS_TO_END_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
