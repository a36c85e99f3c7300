"""`keys create/list/rotate/revoke`: API keys, each of one product."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import ConfigOption, DataOption, ProductOption

if TYPE_CHECKING:
    from shared.auth import ApiKey

app = typer.Typer(help="API keys: create, list, rotate, revoke.", no_args_is_help=True)

PrefixArgument = Annotated[str, typer.Argument(metavar="PREFIX", help="The key's visible part, ut_....")]


@app.command("create")
def create(
    product: ProductOption = None,
    name: Annotated[str, typer.Option(help="What it is for, as `keys list` shows it.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="ingest, customers, read or admin; several times for several.")
    ] = None,
    events_per_second: Annotated[
        int | None,
        typer.Option(min=1, help="What it may send to each ingest, on the average [EVENTS_PER_SECOND_MAX]."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Create a key and print it alone.

    It cannot be seen again: only its SHA-256 is kept.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import chosen_product, read_config, read_settings
    from shared.auth import DEFAULT_SCOPES, KeyRing
    from shared.clock import SystemClock

    settings = read_settings(config_path=config, data_dir=data)
    product_id = chosen_product(read_config(settings.config_path), product)
    scopes = tuple(scope) if scope else DEFAULT_SCOPES
    print(
        with_database(
            settings,
            lambda database: KeyRing(database, SystemClock()).create(
                product_id,
                name=name,
                scopes=scopes,  # type: ignore[arg-type]
                events_per_second_max=events_per_second,
            ),
        )
    )


@app.command("list")
def list_keys(
    product: Annotated[str | None, typer.Option(metavar="ID", help="Of this product alone.")] = None,
    data: DataOption = None,
) -> None:
    """List the keys, revoked ones too."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from shared.auth import KeyRing
    from shared.clock import SystemClock

    settings = read_settings(data_dir=data)
    for key in with_database(settings, lambda database: KeyRing(database, SystemClock()).list(product)):
        print(_line(key))


@app.command("rotate")
def rotate(
    prefix: PrefixArgument,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="The old one goes on working for so long.")
    ] = 24.0,
    data: DataOption = None,
) -> None:
    """Create a key like another one, and print it alone.

    The old one stops working after the overlap.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from shared.auth import KeyRing
    from shared.clock import SystemClock

    print(
        with_database(
            read_settings(data_dir=data),
            lambda database: KeyRing(database, SystemClock()).rotate(
                prefix, overlap=timedelta(hours=overlap_hours)
            ),
        )
    )


@app.command("revoke")
def revoke(
    prefix: PrefixArgument,
    overlap_hours: Annotated[float, typer.Option(min=0, help="It goes on working for so long.")] = 0.0,
    data: DataOption = None,
) -> None:
    """Revoke a key.

    Within seconds no service takes it any more.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings
    from shared.auth import KeyRing
    from shared.clock import SystemClock

    key = with_database(
        read_settings(data_dir=data),
        lambda database: KeyRing(database, SystemClock()).revoke(
            prefix, overlap=timedelta(hours=overlap_hours)
        ),
    )
    print(_line(key))


def _line(key: "ApiKey") -> str:
    from shared.clock import rfc3339

    told = [key.prefix, key.product, ",".join(key.scopes), f"created {rfc3339(key.created_us)[:10]}"]
    told.append("never used" if key.last_used_us is None else f"last used {rfc3339(key.last_used_us)[:16]}Z")
    if key.events_per_second_max is not None:
        told.append(f"{key.events_per_second_max} events/s at the most")
    if key.revoked_us is not None:
        told.append(f"revoked {rfc3339(key.revoked_us)[:16]}Z")
    if key.name:
        told.append(f"({key.name})")
    return "  ".join(told)
