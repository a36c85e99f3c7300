"""The product on the demo's stage: its customers and months of history first, then use as time goes on."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from services.commands.demonstration.restaurants import Restaurant, restaurants
from services.commands.demonstration.usage import ZONE, Use, uses_on
from services.commands.remote import Remote
from shared.clock import Clock, from_us, rfc3339

HISTORY_DAYS = 150
SHOW_DAYS = 400
"""However long one looks on, breaks and habits go on for so many days."""

EVENTS_PER_REQUEST_MAX = 1_000
FEED_EVERY_SECONDS = 0.2


class Stage:
    """Posts what the restaurants do, up to the clock's now. `live_on` is the first day one looks on."""

    def __init__(self, remote: Remote, clock: Clock, *, seed: int, live_on: date) -> None:
        self._remote = remote
        self._clock = clock
        self._seed = seed
        self._first_on = live_on - timedelta(days=HISTORY_DAYS)
        last_on = live_on + timedelta(days=SHOW_DAYS)
        self.restaurants = restaurants(seed=seed, first_on=self._first_on, last_on=last_on, live_on=live_on)
        self._holidays = _holidays(self._first_on, last_on)
        self._coming: list[Use] = []
        self._next_on = self._first_on

    async def set_up(self) -> int:
        """The customers' profiles, then all their use up to now as history; returns how many uses."""
        for restaurant in self.restaurants:
            await self._remote.put(f"/v1/customers/{restaurant.id}", _profile_body(restaurant))
        return await self._play(backfill=True)

    async def run(self, stop: asyncio.Event) -> None:
        """Plays on as the clock does, until told to stop."""
        while not stop.is_set():
            await self.step()
            try:
                async with asyncio.timeout(FEED_EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """Posts what has come due; True if anything has."""
        return await self._play(backfill=False) > 0

    async def _play(self, *, backfill: bool) -> int:
        uses = self._uses_until(self._clock.now_us())
        for batch in _batches(uses):
            body = msgspec.json.encode([_event(use) for use in batch])
            await self._remote.post("/v1/events", body, content_type="application/json", backfill=backfill)
        return len(uses)

    def _uses_until(self, now_us: int) -> list[Use]:
        """What has come due since the last time, in order of time."""
        today = from_us(now_us).astimezone(ZoneInfo(ZONE)).date()
        while self._next_on <= today:
            self._coming += self._uses_on(self._next_on)
            self._next_on += timedelta(days=1)
        self._coming.sort(key=lambda use: use.occurred_us)
        due = [use for use in self._coming if use.occurred_us <= now_us]
        del self._coming[: len(due)]
        return due

    def _uses_on(self, day: date) -> Iterator[Use]:
        is_holiday = day in self._holidays
        for restaurant in self.restaurants:
            yield from uses_on(restaurant, day, seed=self._seed, is_holiday=is_holiday)


def _holidays(first_on: date, last_on: date) -> frozenset[date]:
    import holidays

    return frozenset(holidays.country_holidays("JP", years=range(first_on.year, last_on.year + 1)))


def _batches(uses: Sequence[Use]) -> Iterator[Sequence[Use]]:
    for start in range(0, len(uses), EVENTS_PER_REQUEST_MAX):
        yield uses[start : start + EVENTS_PER_REQUEST_MAX]


def _event(use: Use) -> dict[str, str]:
    return {
        "event_id": use.event_id,
        "customer_id": use.customer_id,
        "event": use.event,
        "occurred_at": rfc3339(use.occurred_us),
    }


def _profile_body(restaurant: Restaurant) -> bytes:
    # Empty is what is not told; the service takes absent fields, not null ones.
    return msgspec.json.encode(restaurant.profile)


def first_moment(now_us: int, days_back: int) -> datetime:
    """13:00 in Tokyo, so many days before today: an hour before the cutoff."""
    today = from_us(now_us).astimezone(ZoneInfo(ZONE)).date()
    day = today - timedelta(days=days_back)
    return datetime(day.year, day.month, day.day, 13, tzinfo=ZoneInfo(ZONE))
