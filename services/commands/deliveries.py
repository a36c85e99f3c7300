"""`deliveries list/replay`: what was sent where, how it ended, and sending it again."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import DataOption

if TYPE_CHECKING:
    from services.notifier.announce import Delivery
    from services.notifier.outgoing import DeliveryFilter

app = typer.Typer(help="Deliveries to channels: list them, send them again.", no_args_is_help=True)

ProductFilter = Annotated[str | None, typer.Option("--product", metavar="ID", help="Of this product alone.")]
StateFilter = Annotated[
    str | None, typer.Option("--state", help="pending, held, delivered, dead or cancelled.")
]
ChannelFilter = Annotated[str | None, typer.Option("--channel", help="To this channel alone.")]
FromOption = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%dT%H:%M:%S%z"], help="Made at or after this.")
]
ToOption = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%dT%H:%M:%S%z"], help="Made before this.")
]


@app.command("list")
def list_deliveries(
    product: ProductFilter = None,
    state: StateFilter = None,
    channel: ChannelFilter = None,
    from_at: FromOption = None,
    to_at: ToOption = None,
    count_max: Annotated[int, typer.Option("--max", min=1, max=10_000, help="So many at the most.")] = 100,
    data: DataOption = None,
) -> None:
    """List deliveries, newest first."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier import outgoing
    from shared.database import Database

    wanted = _wanted(product, state, channel, from_at, to_at)

    async def work(database: Database) -> "list[Delivery]":
        async with database.read() as connection:
            return await outgoing.deliveries(connection, wanted, count_max=count_max)

    for delivery in with_database(read_settings(data_dir=data), work):
        print(_line(delivery))


@app.command("replay")
def replay(
    delivery_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="This one, dead or not.")] = None,
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
    from services.notifier import outgoing
    from shared.clock import SystemClock
    from shared.database import Database

    wanted = _wanted(product, state, channel, from_at, to_at)

    async def work(database: Database) -> int:
        async with database.begin() as connection:
            now_us = SystemClock().now_us()
            return await outgoing.replay(connection, wanted, now_us=now_us, delivery_id=delivery_id)

    print(f"{with_database(read_settings(data_dir=data), work):,} deliveries go out again")


def _wanted(
    product: str | None,
    state: str | None,
    channel: str | None,
    from_at: datetime | None,
    to_at: datetime | None,
) -> "DeliveryFilter":
    from services.notifier.outgoing import DeliveryFilter
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
