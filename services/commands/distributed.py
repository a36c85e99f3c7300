"""`ingest`, `evaluator`, `notifier`: one service a process, on Kafka and PostgreSQL."""

from typing import TYPE_CHECKING

from services.commands.serve import HostOption, PortOption, run
from services.commands.surroundings import ConfigOption

if TYPE_CHECKING:
    from pathlib import Path

    from services.bootstrap import Foundations, Service


def ingest(config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run ingest alone, on Kafka.

    Events and customers' profiles in; add instances at will.
    """
    _run("ingest", config, host, port)


def evaluator(config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run an evaluator alone.

    Days, streaks and stops; several share the partitions. At least one has to run at any time.
    """
    _run("evaluator", config, host, port)


def notifier(config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run a notifier alone.

    Tasks, deliveries and the inbox.
    """
    _run("notifier", config, host, port)


def _run(service: "Service", config: "Path | None", host: str | None, port: int | None) -> None:
    from services.commands.running import run_services
    from services.commands.surroundings import read_config, read_settings
    from services.foundations import is_distributed
    from shared.errors import ConfigError
    from shared.telemetry import configure_logging

    settings = read_settings(config_path=config, host=host, port=port)
    if not is_distributed(settings):
        raise ConfigError(
            f"{service} alone needs DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS; `serve` runs without either"
        )
    configure_logging(settings.log_level)
    run(run_services(read_config(settings.config_path), settings, (service,), greet=_greet))


async def _greet(_base: "Foundations", url: str) -> None:
    import structlog

    structlog.get_logger(__name__).info("ready", address=url)
