"""Many seeds, on every core: runs each, says how it went, and with which command it is run again."""

import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import Pool

import msgspec
import structlog

from tests.simulation.checks import check
from tests.simulation.plan import drawn
from tests.simulation.world import World

Tell = Callable[[str], None]
LINES_MAX = 12


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went; `trace` is the digest of everything that happened, `problems` what is wrong."""

    seed: int
    trace: str
    problems: tuple[str, ...]
    machine_count: int
    record_count: int
    trigger_count: int


def run(seed: int, *, tell: Tell | None = None) -> Verdict:
    """One run of the whole pipeline and all checks of it; `tell` hears every line of its trace."""
    with _quietly():
        world = World(drawn(seed), tell=tell)
        try:
            world.run()
            problems = world.violations or _checked(world)
            return Verdict(
                seed=seed,
                trace=world.trace,
                problems=tuple(problems),
                machine_count=world.machine_count,
                record_count=world.record_count,
                trigger_count=world.disk.look("SELECT count(*) FROM outbox")[0][0],
            )
        finally:
            world.close()


def campaign(seeds: Sequence[int], *, say: Tell, failures_max: int, every: int = 100) -> int:
    """Runs every seed and returns how many failed; stops at `failures_max` failures.

    A run is drawn from its seed alone, so it is the same in whichever process it happens.
    """
    failed: list[int] = []
    begun = time.perf_counter()
    with Pool() as pool:
        for count, verdict in enumerate(pool.imap(run, seeds), 1):
            if verdict.problems:
                failed.append(verdict.seed)
                say(told(verdict))
            if count % every == 0:
                pace = (time.perf_counter() - begun) / count
                say(f"{count} seeds, the last one {verdict.seed}: {len(failed)} failed, {pace:.2f} s each")
            if len(failed) >= failures_max:
                say(f"stopped after {len(failed)} failures")
                break
    return len(failed)


def told(verdict: Verdict) -> str:
    """What went wrong, and how to see it again."""
    lines = [f"seed {verdict.seed} FAILED (trace {verdict.trace})"]
    lines += [f"  {problem}" for problem in verdict.problems[:LINES_MAX]]
    if len(verdict.problems) > LINES_MAX:
        lines.append(f"  and {len(verdict.problems) - LINES_MAX} more")
    lines.append(f"  again, with every step: python -m tests.simulation --seed {verdict.seed} --trace")
    return "\n".join(lines)


def _checked(world: World) -> list[str]:
    try:
        return check(world)
    except Exception:
        return ["the checks themselves failed:", *traceback.format_exc().splitlines()[-6:]]


class _quietly:
    """The workers say what goes wrong, which is what these runs are full of."""

    def __enter__(self) -> None:
        self._config = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._config)
