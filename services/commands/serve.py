"""`serve`: all three services in one process, with nothing else to install."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.commands.surroundings import ConfigOption, DataOption

if TYPE_CHECKING:
    from services.bootstrap import Foundations

HostOption = Annotated[str | None, typer.Option("--host", help="Where to listen [HOST, 127.0.0.1].")]
PortOption = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0: any [PORT, 8000].")]


def serve(
    config: ConfigOption = None,
    data: DataOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Run all three services in one process.

    With no settings at all: one SQLite file under ./data, on 127.0.0.1:8000, and a first API key.
    """
    from services.bootstrap import SERVICES
    from services.commands.running import run_services
    from services.commands.surroundings import read_config, read_settings
    from shared.telemetry import configure_logging

    settings = read_settings(config_path=config, data_dir=data, host=host, port=port)
    configure_logging(settings.log_level)
    run(run_services(read_config(settings.config_path), settings, SERVICES, greet=_greet))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main` on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


async def _greet(base: "Foundations", url: str) -> None:
    keys = await first_keys(base)
    say = _speaker()
    say(f"usage-triggers runs on {url} (data in {base.settings.data_dir}); Ctrl-C stops it")
    say(f"  inbox {url}/    API {url}/docs")
    for product, key in keys.items():
        say(f"\nThe first API key of product {product!r}, shown only this once:")
        say(f"  {key}")
        say("Post a first event:")
        say(f"""  curl {url}/v1/events -H 'Authorization: Bearer {key}' -d '{{"customer_id": "c-17"}}'""")


async def first_keys(base: "Foundations") -> dict[str, str]:
    """A key for each product of the configuration where the store has none at all, else nothing."""
    if await base.keys.list():
        return {}
    return {product: await base.keys.create(product, name="first key") for product in base.config.products}


def _speaker() -> Callable[[str], None]:
    # What is said here is for a person; whoever reads the output through a pipe gets it at once, too.
    return lambda line: print(line, file=sys.stdout, flush=True)
