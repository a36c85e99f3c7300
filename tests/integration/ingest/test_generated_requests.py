"""Requests generated from the OpenAPI page, valid and not: no failure of ours, no undocumented answer."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.serving import Served

EXAMPLES = os.environ.get("GENERATED_REQUESTS_EXAMPLES", "8")
"""Per route and phase; raise it for a long run."""

# What is valid by its schema may be refused all the same: a zone that is none, an instant long ago.
_OURS = "positive_data_acceptance"
# A bad item does not fail its batch, and of others' formats we read what we need and not the rest.
_LENIENT = f"{_OURS},negative_data_rejection"


@pytest.mark.parametrize(
    ("paths", "excluded_checks", "phases"),
    [
        ("^/(v1/customers|healthz|readyz)", _OURS, "examples,coverage,fuzzing"),
        ("^/v1/events", _LENIENT, "examples,coverage,fuzzing"),
        ("^/(v1/(?!events|customers)|api|batch|capture|i)", _LENIENT, "examples,fuzzing"),
    ],
    ids=["customers", "events", "others"],
)
async def test_no_generated_request_brings_ingest_down_or_off_its_description(
    served: Served, tmp_path: Path, paths: str, excluded_checks: str, phases: str
) -> None:
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        "--no-color",
        "run",
        f"{served.url}/openapi.json",
        f"--header=Authorization: Bearer {served.key}",
        f"--include-path-regex={paths}",
        f"--exclude-checks={excluded_checks}",
        f"--max-examples={EXAMPLES}",
        "--mode=all",
        f"--phases={phases}",
        "--continue-on-failure",
        "--seed=1",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, "\n".join(line[:300] for line in output.decode().splitlines())
