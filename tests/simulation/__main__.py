"""`python -m tests.simulation`: many seeds, or one of them with every step."""

import argparse
import gc
import sys

from tests.simulation.campaign import campaign, run, told

SEEDS_MAX = 2**31


def main() -> int:
    """0 when every seed went well, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--start", default="0", help="the first one: a number, or a commit's hash (0)")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell every step")
    parser.add_argument("--failures-max", type=int, default=5, help="stop after so many failures (5)")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _one(arguments.seed, trace=arguments.trace)
    start = first_seed(arguments.start)
    print(f"simulating {arguments.seeds} seeds from {start}", flush=True)
    gc.freeze()
    failed = campaign(
        range(start, start + arguments.seeds),
        say=lambda line: print(line, flush=True),
        failures_max=arguments.failures_max,
    )
    print(
        f"{failed} of {arguments.seeds} seeds failed" if failed else f"{arguments.seeds} seeds, none failed"
    )
    return 1 if failed else 0


def first_seed(text: str) -> int:
    """A number as it is; a commit's hash as a number far from where people begin to count."""
    return int(text) if text.isdecimal() and len(text) < 12 else int(text[:12], 16) % SEEDS_MAX


def _one(seed: int, *, trace: bool) -> int:
    verdict = run(seed, tell=print if trace else None)
    print(told(verdict) if verdict.problems else f"seed {seed} went well: {verdict}")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
