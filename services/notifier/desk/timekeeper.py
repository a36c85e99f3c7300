"""What tasks do by themselves when their time comes."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.desk import allotting, guarding
from services.notifier.parts import NotifierParts
from services.notifier.rests import first_of
from services.notifier.store import ledgers, reading
from services.notifier.tasks.folding import warm
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.turns import woken
from shared.config import Config
from shared.errors import TransientError

log = structlog.get_logger()

Advance = Callable[[AsyncConnection, str, Config, int], Awaitable[Ledger]]
"""Moves something that holds calls on: its id, the configuration and now to what follows."""

DUE_MAX = 200
WAIT_SECONDS_MIN, WAIT_SECONDS_MAX = 0.05, 1.0


class Timekeeper:
    """Wakes snoozed tasks, escalates unanswered ones, lets forgotten ones expire and held ones go, and calls
    what was put off by a cooldown."""

    def __init__(self, parts: NotifierParts, on_news: Callable[[], None]) -> None:
        self._parts = parts
        self._on_news = on_news
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be due sooner than it was."""
        self._woken.set()

    async def step(self) -> bool:
        """Changes the tasks and outages whose time has come; True if there were any."""
        now_us = self._parts.clock.now_us()
        async with self._parts.database.read() as connection:
            due_tasks = await reading.due_tasks(connection, now_us, DUE_MAX)
            due_outages = await guarding.due(connection, now_us)
            due_days = await allotting.due(connection, now_us)
        if due_tasks:
            await self._wake(due_tasks, now_us)
        for outage_id in due_outages:
            await self._advance(guarding.advance, outage_id, now_us)
        for day in due_days:
            await self._advance(allotting.advance, day, now_us)
        is_any = bool(due_tasks or due_outages or due_days)
        if is_any:
            self._on_news()
        return is_any

    async def _advance(self, advance: Advance, key: str, now_us: int) -> None:
        async with self._parts.database.begin() as connection:
            await ledgers.write(connection, await advance(connection, key, self._parts.config, now_us))

    async def _wake(self, task_ids: list[str], now_us: int) -> None:
        async with self._parts.database.begin() as connection:
            ledger = await ledgers.ledger_of(connection, task_ids, self._parts.config.channels)
            for task_id in task_ids:
                task = ledger.task(task_id)
                if task is not None:
                    ledger.take(woken(task, now_us), now_us)
                    warm(ledger, task, self._parts.config, now_us)
            await ledgers.write(connection, ledger)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks once a second, or as soon as a cutoff that is watched or a day of calls is due."""
        while not stop.is_set():
            self._woken.clear()
            rest_seconds = WAIT_SECONDS_MAX
            try:
                if await self.step():
                    continue
                rest_seconds = await self._rest_seconds()
            except TransientError as error:
                log.warning("tasks wait for the database", error=error.message)
            await first_of(stop, self._woken, seconds_max=rest_seconds)

    async def _rest_seconds(self) -> float:
        async with self._parts.database.read() as connection:
            wakes = [await guarding.next_wake_us(connection), await allotting.next_wake_us(connection)]
        now_us = self._parts.clock.now_us()
        left = [(wake_us - now_us) / 1_000_000 for wake_us in wakes if wake_us is not None]
        return max(min([WAIT_SECONDS_MAX, *left]), WAIT_SECONDS_MIN)
