"""`demo`: the main job on lifelike usage, on a throw-away directory and a fast clock."""

from typing import Annotated

import typer

from services.commands.serve import HostOption, PortOption, run


def demo(
    host: HostOption = None,
    port: PortOption = None,
    day_seconds: Annotated[float, typer.Option(min=5, help="How long a day takes.")] = 120.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after so many seconds.")] = None,
) -> None:
    """See it work on lifelike usage.

    A reservation service's customers, their usage going on, stops turning into calls. Everything
    happens in a throw-away directory, on a clock of its own.
    """
    from services.commands.demonstration.show import show
    from services.commands.surroundings import read_settings
    from services.serving import bind
    from shared.clock import SystemClock
    from shared.telemetry import configure_logging

    settings = read_settings(host=host, port=port)
    configure_logging("WARNING")
    with bind(settings.host, settings.port) as listener:
        run(
            show(
                listener,
                clock=SystemClock(),
                seconds_per_day=day_seconds,
                seconds=seconds,
                say=lambda line: print(line, flush=True),
            )
        )
