"""`guard list/release`: the calls that the outage guard holds, and letting them go."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import ConfigOption, DataOption

if TYPE_CHECKING:
    from services.notifier.planning.guard import Outage

app = typer.Typer(help="Calls held because the product itself may be down.", no_args_is_help=True)

SHOWN_MAX = 50

ProductFilter = Annotated[str | None, typer.Option("--product", metavar="ID", help="Of this product alone.")]


@app.command("list")
def list_outages(product: ProductFilter = None, data: DataOption = None) -> None:
    """List outages, newest first, with what became of them."""
    import msgspec
    from sqlalchemy import select

    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from services.notifier.planning.guard import Outage
    from shared.database import Database
    from shared.schema import outages

    query = select(outages).where(outages.c.state.not_in(("watching", "clear")))
    if product is not None:
        query = query.where(outages.c.product == product)
    query = query.order_by(outages.c.opened_us.desc()).limit(SHOWN_MAX)

    async def work(database: Database) -> "list[Outage]":
        async with database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            names = Outage.__struct_fields__
            return [msgspec.convert({name: row[name] for name in names}, Outage) for row in rows]

    for outage in with_database(read_settings(data_dir=data), work):
        print(_line(outage))


@app.command("release")
def release(
    outage: Annotated[str, typer.Argument(metavar="ID", help="As `guard list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Let the held calls go: the customers did stop."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_config, read_settings
    from services.notifier.desk import guarding
    from shared.clock import SystemClock
    from shared.database import Database

    settings = read_settings(config_path=config, data_dir=data)
    found = read_config(settings.config_path)

    async def work(database: Database) -> "Outage":
        now_us = SystemClock().now_us()
        return await guarding.release(database, found, outage, actor=getpass.getuser(), now_us=now_us)

    print(_line(with_database(settings, work)))


def _line(outage: "Outage") -> str:
    from shared.clock import rfc3339

    counts = f"{outage.stopped_count} of {outage.cohort_count} customers"
    return "  ".join((outage.id, rfc3339(outage.opened_us), outage.state, counts, outage.closed_by)).rstrip()
