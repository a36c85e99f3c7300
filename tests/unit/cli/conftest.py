"""What tests of the upkeep stand on: an empty database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.migrations.upgrade import bring_up
from shared.database import Database, open_sqlite


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """One SQLite file with its schema, closed at the end."""
    opened = open_sqlite(tmp_path / "t.sqlite3")
    await bring_up(opened)
    yield opened
    await opened.close()
