"""`config check` and `config schema`: is the configuration file right, and what may stand in it."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.commands.surroundings import ConfigOption
from shared.errors import ConfigError

app = typer.Typer(help="Check a configuration file, or print its JSON Schema.", no_args_is_help=True)


@app.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The file to check.")] = None,
    config: ConfigOption = None,
) -> None:
    """Check a configuration: every error with its file, line and a hint."""
    from services.commands.surroundings import read_settings
    from services.notifier.wiring import check_channels
    from shared.config_file import load_config

    path = file or config or read_settings().config_path
    if path is None:
        raise ConfigError("say which file: `usage-triggers config check FILE`, or set USAGE_TRIGGERS_CONFIG")
    try:
        found = load_config(path, os.environ)
        check_channels(found)
    except ConfigError as error:
        if not error.problems:
            raise
        print(*error.problems, sep="\n", file=sys.stderr)
        raise typer.Exit(1) from error
    products = ", ".join(f"{name} ({len(p.rules)} rules)" for name, p in found.products.items()) or "none"
    print(f"{path}: fine; products: {products}; {len(found.channels)} channels, {len(found.csms)} CSMs")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from shared.config import Config

    print(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))
