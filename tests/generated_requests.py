"""Requests generated from the OpenAPI page by schemathesis, valid and not, against a running service.

    python -m tests.generated_requests --requests 20000 [--seed 1]

serves all three services on a throw-away directory and goes on, seed after seed, until so many requests were
answered: no failure of ours (5xx), and no answer that the page does not describe.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from shared.auth import SCOPES
from shared.clock import SystemClock
from shared.metrics import REQUEST_SECONDS
from tests.whole_service import whole_service

ROUND_EXAMPLES = 40
LINES_TOLD_MAX = 200

# What is valid by its schema may be refused all the same: a zone that is none, an instant long ago.
_OURS = "positive_data_acceptance"
# A bad item does not fail its batch, and of others' formats we read what we need and not the rest.
_LENIENT = f"{_OURS},negative_data_rejection"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Routes that are held to the same checks."""

    name: str
    paths: str
    excluded_checks: str
    phases: str


GROUPS = (
    Group(
        name="customers",
        paths="^/(v1/customers|healthz|readyz)",
        # An id may hold a slash, so `PUT .../c-17/days` puts the customer `c-17/days`.
        excluded_checks=f"{_OURS},unsupported_method",
        phases="examples,coverage,fuzzing",
    ),
    Group(name="events", paths="^/v1/events", excluded_checks=_LENIENT, phases="examples,coverage,fuzzing"),
    Group(
        name="others",
        paths="^/(v1/(batch|track|page|screen|identify|group|alias)|api|batch|capture|i/)",
        excluded_checks=_LENIENT,
        phases="examples,fuzzing",
    ),
    Group(
        name="tasks",
        paths="^/v1/(tasks|deliveries|erasures)",
        excluded_checks=_OURS,
        phases="examples,coverage,fuzzing",
    ),
)


async def run_group(
    group: Group, *, url: str, key: str, directory: Path, examples: int, seed: int = 1
) -> Sequence[str]:
    """Nothing, or what schemathesis found, line by line."""
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        "--no-color",
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {key}",
        f"--include-path-regex={group.paths}",
        f"--exclude-checks={group.excluded_checks}",
        f"--max-examples={examples}",
        "--mode=all",
        f"--phases={group.phases}",
        "--continue-on-failure",
        f"--seed={seed}",
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    if run.returncode == 0:
        return ()
    return [f"exit status {run.returncode}", *(line[:300] for line in output.decode().splitlines())]


def answered() -> dict[str, int]:
    """Requests answered by this process so far, by the first digit of their status."""
    counts: dict[str, int] = {}
    for metric in REQUEST_SECONDS.collect():
        for sample in metric.samples:
            if sample.name.endswith("_count"):
                first = sample.labels["status"][:1] + "xx"
                counts[first] = counts.get(first, 0) + int(sample.value)
    return counts


async def campaign(requests: int, seed: int) -> int:
    """Round after round until `requests` were answered; the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        async with whole_service(Path(directory), SystemClock(), SCOPES) as (url, key):
            while sum(answered().values()) < requests:
                for group in GROUPS:
                    found = await run_group(
                        group,
                        url=url,
                        key=key,
                        directory=Path(directory),
                        examples=ROUND_EXAMPLES,
                        seed=seed,
                    )
                    if found:
                        print(f"seed {seed}, {group.name}:", *found[-LINES_TOLD_MAX:], sep="\n")
                        return 1
                print(f"seed {seed}: {sum(answered().values()):,} requests answered so far", flush=True)
                seed += 1
    counts = answered()
    print(", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())))
    return 1 if counts.get("5xx") else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(campaign(given.requests, given.seed)))


if __name__ == "__main__":
    main()
