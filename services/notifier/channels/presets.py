"""Presets: phone and task tools as data. A file says what a tool takes; this makes requests of a letter.

A body is built as values and encoded as a whole, never pasted together: whatever a customer is called, it
stays inside its string. A value that renders empty is left out, and so is a part whose `$if` does. `$int`
makes a number.
"""

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.notifier.channels.http import Request
from shared.errors import ConfigError

ANSWER_BYTES_MAX = 256 * 1024
WHEN = "$if"
INTEGER = "$int"


class CannotWrite(Exception):
    """A preset cannot be filled in for this one letter; the message says what is missing."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestPart(_Part):
    """One request. `reference`: the path in the tool's JSON answer that names what was made, as `a.0.id`."""

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = {}
    body_json: Any = Field(default=None, alias="json")
    form: Mapping[str, str] | None = None
    reference: str = ""


class Requests(_Part):
    """`opened` makes a task, `closed` ends it; `find` looks whether an attempt in silence made it already."""

    opened: RequestPart
    closed: RequestPart | None = None
    find: RequestPart | None = None


class Preset(_Part):
    """A tool. `needs` and `may_have` are what the configuration gives under `with`, each with what it is.

    `given_up`: statuses that stay the same until somebody changes something.
    """

    documentation: tuple[str, ...]
    needs: Mapping[str, str] = {}
    may_have: Mapping[str, Any] = {}
    requests: Requests
    given_up: tuple[int, ...] = (400, 404, 422)

    def filled(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """`values` with what they leave out. Raises ConfigError for what is missing or unknown."""
        for name, said in self.needs.items():
            if name not in values:
                raise ConfigError(f"{place}: {name!r} is missing: {said}")
        for name in values:
            if name not in self.needs and name not in self.may_have:
                known = ", ".join([*self.needs, *self.may_have])
                raise ConfigError(f"{place}: unknown key {name!r}; known here: {known}")
        return {**self.may_have, **values}


def load_preset(name: str, place: str) -> Preset:
    """The preset of this name, or in this file. Raises ConfigError."""
    try:
        text = _text(name, place)
        return Preset.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise ConfigError(f"{place}: cannot read {name!r}: {error.strerror}") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{place}: {name!r} is no preset: {_said(error)}") from error


def _said(error: yaml.YAMLError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return " ".join(str(error).split())


def _text(name: str, place: str) -> str:
    if name.endswith((".yaml", ".yml")):
        return Path(name).read_text(encoding="utf-8")
    folder = files("services.notifier.channels") / "presets"
    known = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    if name not in known:
        raise ConfigError(f"{place}: no preset {name!r}; there are {', '.join(known)}, or the path of a file")
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")


class _Address(str):
    """A part of a url that is an address already."""


def _in_url(value: object) -> str:
    return value if isinstance(value, _Address) else quote(str(value), safe="")


def _base64(value: object) -> str:
    return base64.b64encode(str(value).encode()).decode()


def _required(value: object, what: str) -> object:
    if not value:
        raise ValueError(f"there is no {what}")
    return value


def _environment(**options: Any) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, **options)
    made.filters["b64"] = _base64
    made.filters["required"] = _required
    made.filters["address"] = lambda value: _Address(str(value).rstrip("/"))
    # Chatwork's markup: nothing in a name becomes a mention of everybody.
    made.filters["unbracketed"] = lambda value: str(value).replace("[", "［").replace("]", "］")
    return made


_TEXT = _environment()
_URL = _environment(finalize=_in_url)


@lru_cache(maxsize=1024)
def _compiled(text: str, is_url: bool) -> Any:
    return (_URL if is_url else _TEXT).from_string(text)


def request_of(part: RequestPart, context: Mapping[str, Any]) -> Request:
    """The request, filled in. Raises CannotWrite."""
    headers = {name.lower(): _header(name, text, context) for name, text in part.headers.items()}
    body, kind = _body(part, context)
    if kind:
        headers.setdefault("content-type", kind)
    return Request(
        method=part.method,
        url=_rendered(part.url, context, is_url=True),
        headers={"user-agent": "usage-triggers", "accept": "application/json", **headers},
        body=body,
        answer_bytes_max=ANSWER_BYTES_MAX,
    )


def _body(part: RequestPart, context: Mapping[str, Any]) -> tuple[bytes, str]:
    if part.form is not None:
        pairs = {name: _rendered(text, context) for name, text in part.form.items()}
        encoded = urlencode({name: text for name, text in pairs.items() if text})
        return encoded.encode(), "application/x-www-form-urlencoded"
    if part.body_json is not None:
        values = _values(part.body_json, context)
        return json.dumps(values, ensure_ascii=False).encode(), "application/json"
    return b"", ""


def _values(node: Any, context: Mapping[str, Any]) -> Any:
    """A tree of values in which every string is rendered; None: this part is left out."""
    if isinstance(node, str):
        return _rendered(node, context) or None
    if isinstance(node, Mapping):
        if INTEGER in node:
            return _integer(_rendered(node[INTEGER], context))
        if WHEN in node and not _rendered(node[WHEN], context).strip():
            return None
        found = {
            _rendered(key, context): _values(value, context) for key, value in node.items() if key != WHEN
        }
        return {key: value for key, value in found.items() if value is not None and key}
    if isinstance(node, list | tuple):
        return [value for one in node if (value := _values(one, context)) is not None] or None
    return node


def _integer(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise CannotWrite(f"{text[:40]!r} is no whole number") from error


def _header(name: str, text: str, context: Mapping[str, Any]) -> str:
    value = _rendered(text, context)
    if not value.isascii() or not value.isprintable():
        raise CannotWrite(f"the header {name} takes plain ASCII only")
    return value


def _rendered(text: str, context: Mapping[str, Any], *, is_url: bool = False) -> str:
    try:
        return str(_compiled(text, is_url).render(context))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise CannotWrite(f"the template {text[:60]!r}: {error}") from error


def reference_in(body: bytes, path: str) -> str:
    """What the tool calls what it made, found in its answer; empty where it does not say."""
    if not path:
        return ""
    try:
        found = json.loads(body)
        for step in path.split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]
    except (ValueError, LookupError, TypeError):
        return ""
    return str(found) if isinstance(found, str | int) else ""
