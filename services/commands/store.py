"""The database for commands that look into it or change it, beside running services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from deploy.migrations.upgrade import bring_up
from services.foundations import open_database
from shared.database import Database
from shared.settings import Settings

T = TypeVar("T")


def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` gives on the database of `settings`, its schema brought up first."""

    async def run() -> T:
        database = open_database(settings)
        try:
            await bring_up(database)
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())
