"""`migrate`: brings the database's schema up to this program's, and takes an embedded store along."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import ConfigOption, DataOption

if TYPE_CHECKING:
    from shared.settings import Settings

FromOption = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Take what a `serve` has kept there along; stop it first."),
]
SHOWN = {"customers": "customers", "tasks": "tasks", "deliveries": "deliveries", "api_keys": "API keys"}


def migrate(data: DataOption = None, config: ConfigOption = None, source: FromOption = None) -> None:
    """Bring the database's schema up.

    Safe to run twice, at once, and while services run. With --from it also moves an embedded store to the
    empty database of DATABASE_URL: days, customers, tasks and keys come along, whole or not at all.
    """
    from deploy.migrations.upgrade import HEAD, revision_of
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings

    settings = read_settings(data_dir=data, config_path=config)
    if source is not None:
        _check_movable(settings, source)
    revision = with_database(settings, revision_of)
    if revision == HEAD:
        print("the database's schema is this program's")
    else:
        print(
            f"the database's schema ({revision}) is newer than this program's ({HEAD}): it is left as it is, "
            "and this program runs on it"
        )
    if source is not None:
        _say(_moved(settings, source))


def _check_movable(settings: "Settings", source: Path) -> None:
    from services.foundations import is_distributed
    from services.moving import require_embedded
    from shared.errors import ConfigError

    if not is_distributed(settings):
        raise ConfigError(
            "DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS are not set: they say where --from moves to"
        )
    require_embedded(source)


def _moved(settings: "Settings", source: Path) -> Mapping[str, int]:
    import asyncio

    from services.commands.surroundings import read_config
    from services.foundations import distributed, embedded
    from services.moving import move, read_to_the_end
    from shared.clock import SystemClock
    from shared.telemetry import configure_logging

    configure_logging("ERROR")  # a client that has to ask Kafka twice is no news to whoever types this
    config, clock = read_config(settings.config_path), SystemClock()

    async def run() -> Mapping[str, int]:
        there = settings.model_copy(update={"data_dir": source})
        async with embedded(config, there, clock) as old, distributed(config, settings, clock) as new:
            await read_to_the_end(old)
            return await move(old.database, new.database, new.log, clock)

    return asyncio.run(run())


def _say(counts: Mapping[str, int]) -> None:
    told = ", ".join(f"{counts[table]} {name}" for table, name in SHOWN.items())
    print(f"moved {told}; keep the directory until the first day is over, and start no `serve` on it again")
