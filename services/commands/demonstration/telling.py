"""What the demo says on the terminal: a line a day, and a line for each trigger, as the log carries it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.commands.demonstration.usage import ZONE
from shared.clock import Clock, from_us
from shared.config import CsmSection
from shared.events import TOPIC_TRIGGERS
from shared.log import Consumer, Log
from shared.triggers import RESUMED, Trigger, decode_trigger

GROUP = "usage-triggers.demo"
FETCH_SECONDS = 0.3
RECORDS_MAX = 200


class Telling:
    """Reads `usage.triggers` as a group of its own and says each one."""

    def __init__(
        self, log: Log, clock: Clock, csms: Mapping[str, CsmSection], say: Callable[[str], None]
    ) -> None:
        self._log = log
        self._clock = clock
        self._csms = csms
        self._say = say
        self._consumer: Consumer | None = None
        self._day: date | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Tells until told to stop."""
        try:
            while not stop.is_set():
                await self.step()
        finally:
            if self._consumer is not None:
                await self._consumer.close()

    async def step(self) -> bool:
        """Tells the day where a new one has begun, and what the log has; True if it had anything."""
        self._tell_day()
        consumer = await self._joined()
        found = await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=FETCH_SECONDS)
        for records in found.values():
            for record in records:
                self._say(line(decode_trigger(record.value), self._csms))
        return bool(found)

    async def _joined(self) -> Consumer:
        if self._consumer is None:
            self._consumer = await self._log.consumer(TOPIC_TRIGGERS, GROUP)
            for partition in self._consumer.assignment():
                self._consumer.seek(partition, await self._consumer.beginning(partition))
        return self._consumer

    def _tell_day(self) -> None:
        now = _local(self._clock.now_us())
        if now.date() != self._day:
            self._day = now.date()
            self._say(f"-- {now:%A %Y-%m-%d} " + "-" * 40)


def line(trigger: Trigger, csms: Mapping[str, CsmSection]) -> str:
    """One trigger in one line, at the time it was decided."""
    customer = trigger.data.customer
    at = _local_of(trigger.data.decided_at)
    return f"{at:%H:%M}  {customer.name or customer.id}: {_what(trigger)}{_whose(trigger, csms)}"


def _what(trigger: Trigger) -> str:
    data = trigger.data
    if trigger.type == RESUMED:
        days = f"{data.missed_days} missed day{'' if data.missed_days == 1 else 's'}"
        return f"back in use after {days}, the call closes by itself"
    if data.cutoff_at is None:
        return f"{trigger.type} ({data.streak.length} active days)"
    sure = f", {data.surprise:.0%} surprising" if data.surprise is not None else ""
    return f"{trigger.type}: no use by {_local_of(data.cutoff_at):%H:%M}{sure}"


def _whose(trigger: Trigger, csms: Mapping[str, CsmSection]) -> str:
    csm = trigger.data.customer.csm
    if trigger.type == RESUMED or csm is None:
        return ""
    return f" -> {csms[csm].name if csm in csms else csm}"


def _local(us: int) -> datetime:
    return from_us(us).astimezone(ZoneInfo(ZONE))


def _local_of(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(ZoneInfo(ZONE))
