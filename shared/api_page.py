"""`/docs`: the OpenAPI description as one plain page, with nothing fetched from anywhere.

FastAPI's own page loads its viewer from a public server, and is blank in a closed network.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

_METHODS = ("get", "put", "post", "patch", "delete")
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)

Json = Mapping[str, Any]


def _prose(text: str) -> Markup:
    """Text for people, with what stands between backquotes set as code."""
    pieces = (escape(piece) for piece in text.split("`"))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if n % 2 else piece for n, piece in enumerate(pieces)
    )


_templates.filters["prose"] = _prose


class Block(msgspec.Struct, frozen=True):
    """A paragraph of a description, or an indented example in it."""

    text: str
    is_code: bool


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter, or a field of a body."""

    name: str
    type: str
    description: str
    required: bool
    place: str = ""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What may be sent under one content type."""

    content_type: str
    fields: Sequence[Field]
    description: str
    example: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one status means."""

    status: str
    description: str
    example: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    tag: str
    summary: str
    description: Sequence[Block]
    parameters: Sequence[Field]
    bodies: Sequence[Body]
    answers: Sequence[Answer]

    @property
    def anchor(self) -> str:
        return f"{self.method.lower()}{self.path.replace('/', '-')}"


def install_api_page(app: FastAPI) -> None:
    """Serve `/docs` for whatever routes `app` has by the time that it is asked for."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()), headers=_HEADERS)


def render(document: Json) -> str:
    """The page of an OpenAPI document."""
    operations = list(_operations(document))
    tags = dict.fromkeys(operation.tag for operation in operations)
    groups = [{"name": tag, "operations": [one for one in operations if one.tag == tag]} for tag in tags]
    about = document["info"]
    return _templates.get_template("api_page.html").render(
        title=about["title"], summary=about.get("summary", ""), version=about["version"], groups=groups
    )


def _operations(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield _operation(document, path, method, methods[method])


def _operation(document: Json, path: str, method: str, said: Json) -> Operation:
    return Operation(
        method=method.upper(),
        path=path,
        tag=(said.get("tags") or ["other"])[0],
        summary=said.get("summary", ""),
        description=_blocks(said.get("description", "")),
        parameters=[_parameter(document, one) for one in said.get("parameters", ())],
        bodies=[_body(document, *one) for one in said.get("requestBody", {}).get("content", {}).items()],
        answers=[_answer(status, one) for status, one in sorted(said.get("responses", {}).items())],
    )


def _blocks(text: str) -> list[Block]:
    paragraphs = (paragraph.strip("\n") for paragraph in text.split("\n\n"))
    return [
        Block(dedent(paragraph), paragraph.startswith("    "))
        for paragraph in paragraphs
        if paragraph.strip()
    ]


def _parameter(document: Json, said: Json) -> Field:
    return Field(
        name=said["name"],
        type=_type(_resolved(document, said.get("schema", {}))),
        description=said.get("description", ""),
        required=said.get("required", False),
        place=said["in"],
    )


def _body(document: Json, content_type: str, said: Json) -> Body:
    schema = _object_in(document, said.get("schema", {}))
    example = said.get("example") or schema.get("example")
    return Body(
        content_type=content_type,
        fields=_fields(document, schema),
        description=schema.get("description", ""),
        example=_shown(example),
    )


def _answer(status: str, said: Json) -> Answer:
    schema = said.get("content", {}).get("application/json", {}).get("schema", {})
    return Answer(
        status=status, description=said.get("description", ""), example=_shown(schema.get("example"))
    )


def _object_in(document: Json, schema: Json) -> Json:
    """The schema itself, or the first of its alternatives: an object where one or many may be sent."""
    schema = _resolved(document, schema)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    return _object_in(document, alternatives[0]) if alternatives and "properties" not in schema else schema


def _fields(document: Json, schema: Json) -> list[Field]:
    required = schema.get("required", ())
    return [
        Field(
            name=name,
            type=_type(_resolved(document, field)),
            description=field.get("description", ""),
            required=name in required,
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(document: Json, schema: Json) -> Json:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def _type(schema: Json) -> str:
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return " or ".join(dict.fromkeys(filter(None, map(_type, alternatives))))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("format") or schema.get("type") or schema.get("$ref", "").rpartition("/")[2]
    return "" if kind == "null" else " or ".join(kind) if isinstance(kind, list) else kind


def _shown(example: object) -> str:
    if example is None or isinstance(example, str):
        return example or ""
    return json.dumps(example, indent=2, ensure_ascii=False)
