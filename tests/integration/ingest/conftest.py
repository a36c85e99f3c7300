"""A served ingest for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving import Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as running:
        yield running
