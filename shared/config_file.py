"""Reads the configuration file: YAML into `Config`, every error with its file, line and a hint."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from pydantic import ValidationError

from shared.config import Config, UnknownNames
from shared.errors import ConfigError
from shared.placed_yaml import Path as Place
from shared.placed_yaml import PlacedYaml

Problem = tuple[int, Place, str]
"""Line (from 1), place and message."""


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in `path`, with `${NAME}` taken from `environ`.

    Raises ConfigError; its `problems` hold one line each, `file:line: place: what is wrong`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {path} is not UTF-8 text") from error
    return parse_config(text, name=str(path), environ=environ)


def parse_config(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    """As `load_config`, from `text`; `name` is what the problems call the file."""
    source = PlacedYaml(text, environ=environ)
    config, problems = (None, source.problems) if _is_unreadable(source) else _validated(source)
    if config is None or problems:
        told = [(line, source.without_secrets(_said(place, said))) for line, place, said in _tidy(problems)]
        lines = tuple(f"{name}:{line}: {text}" for line, text in told)
        more = f" (and {len(lines) - 1} more; `usage-triggers config check` shows all)" if lines[1:] else ""
        raise ConfigError(f"{lines[0]}{more}", problems=lines)
    return config


def _is_unreadable(source: PlacedYaml) -> bool:
    return source.values is None and bool(source.problems)


def _validated(source: PlacedYaml) -> tuple[Config | None, list[Problem]]:
    values = {} if source.values is None else source.values
    if not isinstance(values, dict):
        return None, [*source.problems, (1, (), "the file is a mapping with products, channels and csms")]
    try:
        return Config.model_validate(values), source.problems
    except ValidationError as error:
        problems = [p for e in error.errors(include_url=False) for p in _problems(e, source)]
        return None, source.problems + problems


def _problems(error: Any, source: PlacedYaml) -> Iterator[Problem]:
    """The problems one pydantic error stands for, each where it is in the file."""
    place = _place(error["loc"], source.values)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, UnknownNames):
        for where, message, name, known in cause.found:
            yield source.line(where), where, message + _did_you_mean(name, known)
    else:
        yield source.line(place), place, _message(error, place)


def _place(loc: Iterable[str | int], values: Any) -> Place:
    """pydantic's `loc` without the steps that are no place in the file (union tags, `[key]`)."""
    place: list[str | int] = []
    for step in loc:
        in_mapping = isinstance(values, dict) and step in values
        in_sequence = isinstance(values, list) and isinstance(step, int) and step < len(values)
        if in_mapping or in_sequence:
            values = values[step]
            place.append(step)
    return tuple(place)


def _message(error: Any, place: Place) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        return "unknown key" + (_did_you_mean(str(place[-1]), known) or _one_of(known))
    if kind == "missing":
        return f"{error['loc'][-1]!r} is missing"
    if kind == "union_tag_not_found":
        return "'kind' is missing" + _one_of(_tags(error["loc"]))
    if kind == "union_tag_invalid":
        known = _tags(error["loc"])
        return f"kind {context['tag']!r} is not known" + (
            _did_you_mean(context["tag"], known) or _one_of(known)
        )
    if kind == "literal_error" and isinstance(error["input"], str):
        return f"{error['input']!r} is not one of {context['expected']}"
    said = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
    return said + _hint(place, error["input"])


def _hint(place: Place, written: object) -> str:
    """What was probably meant, for the two values people misspell most."""
    if not isinstance(written, str):
        return ""
    if re.fullmatch(r"\d:[0-5]\d", written):
        return f'; did you mean "0{written}"?'
    return _did_you_mean(written, available_timezones()) if place[-1:] == ("time_zone",) else ""


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _one_of(known: Iterable[str]) -> str:
    names = ", ".join(known)
    return f"; known here: {names}" if names else ""


def _known_keys(loc: Iterable[str | int]) -> list[str]:
    return list(_schema_at(loc).get("properties", {}))


def _tags(loc: Iterable[str | int]) -> list[str]:
    return list(_schema_at(loc).get("discriminator", {}).get("mapping", {}))


def _schema_at(loc: Iterable[str | int]) -> dict[str, Any]:
    """The JSON Schema of what stands at pydantic's `loc`, union tags included."""
    root = Config.model_json_schema()

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        while True:
            if "$ref" in schema:
                schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            elif "anyOf" in schema:  # an optional section: the part that is one
                schema = next((s for s in schema["anyOf"] if s.get("type") != "null"), {})
            else:
                return schema

    schema = resolved(root)
    for step in loc:
        tagged = schema.get("discriminator", {}).get("mapping", {})
        if isinstance(step, int):
            following = schema.get("items", {})
        elif step in tagged:
            following = {"$ref": tagged[step]}
        else:
            following = schema.get("properties", {}).get(step) or schema.get("additionalProperties", {})
        schema = resolved(following if isinstance(following, dict) else {})
    return schema


def _tidy(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the file, one problem a place: a union reports each of its branches."""
    first: dict[tuple[int, Place], Problem] = {}
    for problem in sorted(problems, key=lambda p: p[0]):
        first.setdefault(problem[:2], problem)
    return list(first.values())


def _said(place: Place, message: str) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    return f"{where}: {message}" if where else message
