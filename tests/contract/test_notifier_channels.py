"""What is known of channels, for every process and every start."""

import asyncio

from services.notifier.delivery import channel_rows
from services.notifier.delivery.resting import ChannelState
from shared.database import Database
from tests.unit.notifier.cases import HOUR, NOON


async def test_what_a_channel_told_of_itself_is_kept_until_it_is_enabled(database: Database) -> None:
    state = ChannelState(channel="phone", disabled_us=NOON, reason="410")
    async with database.begin() as connection:
        await channel_rows.put(connection, ChannelState(channel="phone", failure_count=3))
        await channel_rows.put(connection, state)
        assert await channel_rows.states(connection) == {"phone": state}
        await channel_rows.enable(connection, "phone")
        assert (await channel_rows.states(connection))["phone"].disabled_us is None


async def book(database: Database, now_us: int) -> bool:
    async with database.begin() as connection:
        return await channel_rows.book(connection, "phone", now_us=now_us, until_us=now_us + 10)


async def test_a_place_is_booked_once_until_it_is_over(database: Database) -> None:
    assert [await book(database, NOON + n) for n in (0, 0, 9, 10, 19, 20)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


async def test_of_two_who_book_at_once_one_gets_it(database: Database) -> None:
    booked = await asyncio.gather(*(book(database, NOON) for _ in range(5)))
    assert sorted(booked) == [False] * 4 + [True]


async def test_a_disabled_channel_cannot_be_booked_and_a_failing_one_is_woken(database: Database) -> None:
    failing = ChannelState(channel="phone", failure_count=7, rests_until_us=NOON + HOUR)
    async with database.begin() as connection:
        await channel_rows.put(connection, ChannelState(channel="cs-slack", disabled_us=NOON, reason="410"))
        await channel_rows.put(connection, failing)
        await channel_rows.wake(connection, ["cs-slack", "phone", "never-seen"])
        assert not await channel_rows.book(connection, "cs-slack", now_us=NOON, until_us=NOON + 10)
        found = await channel_rows.locked(connection, ["phone", "new"])
    assert found == {"phone": ChannelState(channel="phone"), "new": ChannelState(channel="new")}
