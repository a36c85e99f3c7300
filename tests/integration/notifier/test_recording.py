"""When what has ended is recorded: in company, but not later than there is company to wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.channels.http import Answer, Request
from services.notifier.delivery import sender as sender_module
from services.notifier.delivery.sender import Sender
from shared.database import Database
from tests.integration.notifier.test_http import PATIENCE_SECONDS
from tests.integration.notifier.test_sender import phone_alone, phone_delivery
from tests.integration.notifier.world import Receivers, world
from tests.unit.notifier.cases import stop


class LandsWhileRecorded(Database):
    """The database of a world, whose second transaction goes on once everything under way has landed."""

    def __init__(self, database: Database, receivers: "HeldBack") -> None:
        super().__init__(database.engine)
        self._receivers = receivers
        self.begun_count = 0
        self.begun_again = asyncio.Event()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        self.begun_count += 1
        if self.begun_count == 2:
            self._receivers.released.set()
            await self._receivers.answered.wait()
        if self.begun_count == 3:
            self.begun_again.set()
        async with super().begin() as connection:
            yield connection


class HeldBack(Receivers):
    """Answers nothing until told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.released, self.answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(self, request: Request) -> Answer:
        self.asked.set()
        await self.released.wait()
        self.answered.set()
        return await super().send(request)


async def test_what_lands_last_while_another_transaction_runs_is_recorded_right_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers = HeldBack()
    async with world(tmp_path, phone_alone(), lambda _clock: receivers) as here:
        await here.read(stop())
        database = LandsWhileRecorded(here.database, receivers)
        monkeypatch.setattr(sender_module, "RECORD_SECONDS", 3600.0)
        sender = Sender(msgspec.structs.replace(here.parts, database=database), here.notifier.channels)
        stopping = asyncio.Event()
        running = asyncio.create_task(sender.run(stopping))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await receivers.asked.wait()
            sender.wake()
            await database.begun_again.wait()
        stopping.set()
        await running
        assert (await phone_delivery(here)).state == "delivered"
