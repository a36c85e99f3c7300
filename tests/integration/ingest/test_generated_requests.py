"""Requests generated from the OpenAPI page, valid and not: no failure of ours, no undocumented answer."""

import os
from pathlib import Path

import pytest

from shared.auth import SCOPES
from shared.clock import SystemClock
from tests.generated_requests import GROUPS, Group, run_group
from tests.whole_service import whole_service

EXAMPLES = int(os.environ.get("GENERATED_REQUESTS_EXAMPLES", "8"))
"""Per route and phase; `make fuzz-api` makes a long run of it."""


@pytest.mark.parametrize("group", GROUPS, ids=[group.name for group in GROUPS])
async def test_no_generated_request_brings_the_service_down_or_off_its_description(
    tmp_path: Path, group: Group
) -> None:
    async with whole_service(tmp_path / "data", SystemClock(), SCOPES) as (url, key):
        found = await run_group(group, url=url, key=key, directory=tmp_path, examples=EXAMPLES)
    assert not found, "\n".join(found)
