"""What is known of channels, in the database: every process and every start knows the same."""

from collections.abc import Collection

import msgspec
from sqlalchemy import RowMapping, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.delivery.resting import ChannelState
from services.notifier.store.rows import insert_into, upsert
from shared import schema

_c = schema.channel_states.c


async def states(connection: AsyncConnection) -> dict[str, ChannelState]:
    """Every channel that was ever in trouble, or has an interval to keep."""
    rows = (await connection.execute(select(schema.channel_states))).mappings()
    return {row["channel"]: _from_row(row) for row in rows}


async def locked(connection: AsyncConnection, channels: Collection[str]) -> dict[str, ChannelState]:
    """The states of these channels, nobody else's to change until the transaction ends."""
    query = select(schema.channel_states).where(_c.channel.in_(sorted(channels))).order_by(_c.channel)
    rows = (await connection.execute(query.with_for_update())).mappings()
    known = {row["channel"]: _from_row(row) for row in rows}
    return {channel: known.get(channel, ChannelState(channel=channel)) for channel in channels}


async def put(connection: AsyncConnection, state: ChannelState) -> None:
    """Writes what is now known of a channel."""
    values = msgspec.structs.asdict(state)
    await connection.execute(upsert(connection, schema.channel_states, ["channel"], values), [values])


async def book(connection: AsyncConnection, channel: str, *, now_us: int, until_us: int) -> bool:
    """Takes the channel's next place until an instant; False where another process has it."""
    row = msgspec.structs.asdict(ChannelState(channel=channel))
    await connection.execute(insert_into(connection, schema.channel_states).on_conflict_do_nothing(), row)
    booked = await connection.execute(
        update(schema.channel_states)
        .where(_c.channel == channel, _c.disabled_us.is_(None))
        .where(or_(_c.rests_until_us.is_(None), _c.rests_until_us <= now_us))
        .values(rests_until_us=until_us)
    )
    return booked.rowcount == 1


async def wake(connection: AsyncConnection, channels: Collection[str]) -> None:
    """Ends the rest of channels that were failing; disabled ones stay so."""
    await connection.execute(
        update(schema.channel_states)
        .where(_c.channel.in_(sorted(channels)), _c.disabled_us.is_(None), _c.failure_count > 0)
        .values(failure_count=0, rests_until_us=None, reason="")
    )


async def enable(connection: AsyncConnection, channel: str) -> None:
    """Takes a channel into use again, whatever was known of it."""
    await put(connection, ChannelState(channel=channel))


def _from_row(row: RowMapping) -> ChannelState:
    return ChannelState(**{name: row[name] for name in ChannelState.__struct_fields__})
