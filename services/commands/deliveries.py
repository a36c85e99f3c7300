"""`deliveries list/replay/channels/enable`: what was sent where, how it ended, and sending it again."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import DataOption

if TYPE_CHECKING:
    from services.notifier.delivery.outgoing import Attempt
    from services.notifier.delivery.resting import ChannelState
    from services.notifier.delivery.sent import DeliveryFilter
    from services.notifier.tasks.announce import Delivery

app = typer.Typer(help="Deliveries to channels: list them, send them again.", no_args_is_help=True)

FORMATS = ["%Y-%m-%dT%H:%M:%S%z"]

ProductFilter = Annotated[str | None, typer.Option("--product", metavar="ID", help="Of this product alone.")]
StateFilter = Annotated[
    str | None, typer.Option("--state", help="pending, held, delivered, dead or cancelled.")
]
ChannelFilter = Annotated[str | None, typer.Option("--channel", help="To this channel alone.")]
FromOption = Annotated[
    datetime | None, typer.Option("--from", formats=FORMATS, help="Made at or after this.")
]
ToOption = Annotated[datetime | None, typer.Option("--to", formats=FORMATS, help="Made before this.")]
IdOption = Annotated[str | None, typer.Option("--id", help="This one, whatever has become of it.")]


@app.command("list")
def list_deliveries(
    product: ProductFilter = None,
    state: StateFilter = None,
    channel: ChannelFilter = None,
    from_at: FromOption = None,
    to_at: ToOption = None,
    attempts: Annotated[bool, typer.Option("--attempts", help="With every attempt at each.")] = False,
    count_max: Annotated[int, typer.Option("--max", min=1, max=10_000, help="So many at the most.")] = 100,
    data: DataOption = None,
) -> None:
    """List deliveries, newest first."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier.delivery import sent
    from shared.database import Database

    wanted = _wanted(product, state, channel, from_at, to_at)

    async def work(database: Database) -> "list[tuple[Delivery, Sequence[Attempt]]]":
        async with database.read() as connection:
            found = await sent.deliveries(connection, wanted, count_max=count_max)
            logs = await sent.attempts_of(connection, [d.id for d in found]) if attempts else {}
        return [(delivery, logs.get(delivery.id, ())) for delivery in found]

    for delivery, log in with_database(read_settings(data_dir=data), work):
        print(_line(delivery), *_attempt_lines(log), sep="\n")


@app.command("replay")
def replay(
    delivery_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="As --id.")] = None,
    id_option: IdOption = None,
    product: ProductFilter = None,
    state: StateFilter = None,
    channel: ChannelFilter = None,
    from_at: FromOption = None,
    to_at: ToOption = None,
    data: DataOption = None,
) -> None:
    """Send deliveries again, under the same ids.

    The dead ones, unless --state says otherwise.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier.delivery import sent
    from shared.clock import SystemClock
    from shared.database import Database
    from shared.errors import NotFound

    wanted, one = _wanted(product, state, channel, from_at, to_at), id_option or delivery_id

    async def work(database: Database) -> int:
        async with database.begin() as connection:
            now_us = SystemClock().now_us()
            return await sent.replay(connection, wanted, now_us=now_us, delivery_id=one)

    count = with_database(read_settings(data_dir=data), work)
    if one is not None and not count:
        raise NotFound(f"no delivery {one[:120]!r} that could go out; `deliveries list` shows them")
    print(f"{count:,} deliveries go out again")


@app.command("channels")
def list_channels(data: DataOption = None) -> None:
    """List the channels that are, or were, in trouble."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier.delivery import channel_rows
    from shared.clock import SystemClock
    from shared.database import Database

    async def work(database: Database) -> "list[ChannelState]":
        async with database.read() as connection:
            return list((await channel_rows.states(connection)).values())

    now_us = SystemClock().now_us()
    for state in with_database(read_settings(data_dir=data), work):
        print(_channel_line(state, now_us))


@app.command("enable")
def enable(
    channel: Annotated[str, typer.Argument(help="Its name in the configuration.")],
    data: DataOption = None,
) -> None:
    """Take a disabled channel into use again; `replay` sends what it missed."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier.delivery import channel_rows
    from shared.database import Database
    from shared.errors import NotFound

    async def work(database: Database) -> bool:
        async with database.begin() as connection:
            known = channel in await channel_rows.states(connection)
            if known:
                await channel_rows.enable(connection, channel)
            return known

    if not with_database(read_settings(data_dir=data), work):
        raise NotFound(f"no channel {channel[:64]!r} was ever in trouble; `deliveries channels` shows which")
    print(f"{channel} is in use again")


def _wanted(
    product: str | None,
    state: str | None,
    channel: str | None,
    from_at: datetime | None,
    to_at: datetime | None,
) -> "DeliveryFilter":
    from services.notifier.delivery.sent import DeliveryFilter
    from shared.clock import to_us

    return DeliveryFilter(
        product=product,
        state=state,
        channel=channel,
        from_us=to_us(from_at) if from_at else None,
        to_us=to_us(to_at) if to_at else None,
    )


def _line(delivery: "Delivery") -> str:
    from shared.clock import rfc3339

    told = [
        delivery.id,
        rfc3339(delivery.created_us),
        delivery.state,
        delivery.channel,
        delivery.product,
        delivery.customer_id,
        f"{delivery.attempt_count} attempts",
    ]
    return "  ".join([*told, delivery.last_error] if delivery.last_error else told)


def _attempt_lines(log: "Sequence[Attempt]") -> Iterator[str]:
    from shared.clock import rfc3339

    for attempt in log:
        took = f"{attempt.took_us / 1000:.0f} ms"
        yield f"    {rfc3339(attempt.at_us)}  {attempt.result}  {took}  {attempt.detail}".rstrip()


def _channel_line(state: "ChannelState", now_us: int) -> str:
    from services.notifier.delivery.resting import is_resting
    from shared.clock import rfc3339

    if state.disabled_us is not None:
        said = f"disabled since {rfc3339(state.disabled_us)}"
    elif state.is_failing or is_resting(state, now_us):
        said = f"rests until {rfc3339(state.rests_until_us or now_us)}"
    else:
        said = "in use"
    failures = f"{state.failure_count} failures in a row" if state.failure_count else ""
    return "  ".join(part for part in (state.channel, said, failures, state.reason) if part)
