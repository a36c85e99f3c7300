"""What a command stands on: the environment's settings, the configuration file, the product meant."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from shared.config import Config
    from shared.settings import Settings

URL_DEFAULT = "http://127.0.0.1:8000"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration file [USAGE_TRIGGERS_CONFIG]."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the embedded store lives [USAGE_TRIGGERS_DATA]."),
]
ProductOption = Annotated[
    str | None,
    typer.Option("--product", metavar="ID", help="Which product; needed where the file has several."),
]

UrlOption = Annotated[str, typer.Option("--url", envvar="USAGE_TRIGGERS_URL", help="Where the service runs.")]
KeyOption = Annotated[
    str, typer.Option("--key", envvar="USAGE_TRIGGERS_KEY", help="An API key of the product.")
]


def read_settings(environ: Mapping[str, str] | None = None, **given: Any) -> "Settings":
    """The environment's settings, overruled by what the command line says (None: says nothing).

    Raises SetupError naming the variable that cannot be used.
    """
    from pydantic import ValidationError

    from shared.settings import Settings

    named = {_alias(name): value for name, value in given.items() if value is not None}
    try:
        if environ is None:
            return Settings(**named)
        return Settings.model_validate({**_known(environ), **named})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = str(first["msg"]).replace("Input should be", "should be")
        raise SetupError(f"the setting {first['loc'][0]} cannot be used: {message}") from error


def read_config(path: Path | None, environ: Mapping[str, str] | None = None) -> "Config":
    """The configuration in `path`; the default one (one product, two rules) when there is none."""
    from shared.config import default_config
    from shared.config_file import load_config

    if path is None:
        return default_config()
    return load_config(path, os.environ if environ is None else environ)


def chosen_product(config: "Config", product: str | None) -> str:
    """The product meant: the one named, else the configuration's only one."""
    if product is None and len(config.products) == 1:
        return next(iter(config.products))
    known = ", ".join(config.products) or "none"
    if product is None:
        raise ConfigError(f"say which product with --product; the configuration has {known}")
    if product not in config.products:
        raise ConfigError(f"the configuration has no product {product!r}; it has {known}")
    return product


def _alias(name: str) -> str:
    from shared.settings import Settings

    return str(Settings.model_fields[name].validation_alias)


def _known(environ: Mapping[str, str]) -> dict[str, str]:
    from shared.settings import Settings

    aliases = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return {name: value for name, value in environ.items() if name in aliases}
