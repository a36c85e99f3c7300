"""The page at /docs: complete, plain and asking nobody for anything."""

import re
from typing import Annotated

import httpx
from fastapi import Body, FastAPI
from pydantic import BaseModel

from shared.api_page import install_api_page


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int | None = None


def app() -> FastAPI:
    app = FastAPI(title="people <b>", summary="All of them.", docs_url=None, redoc_url=None)
    install_api_page(app)

    @app.put("/people/{person_id}", tags=["people"], summary="Put a person")
    async def put(person_id: int, person: Annotated[Person, Body()]) -> Person:
        """The whole person.

            curl -X PUT '{"name": "<i>"}'

        And nothing `<else>`.
        """
        return person

    return app


async def page() -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app()), base_url="http://x") as http:
        return await http.get("/docs")


async def test_every_operation_is_shown_with_parameters_fields_and_answers() -> None:
    text = re.sub(r"\s+", " ", (await page()).text)
    assert "<b>PUT</b> /people/{person_id}" in text
    assert "<code>person_id</code> *</td><td>path</td><td>integer" in text
    assert "<code>name</code> *</td><td>string" in text
    assert "<code>age</code></td><td>integer</td>" in text
    assert "<code>422</code>" in text


async def test_text_is_escaped_and_examples_are_set_apart() -> None:
    text = (await page()).text
    assert "<p>And nothing <code>&lt;else&gt;</code>.</p>" in text
    assert "<title>people &lt;b&gt;</title>" in text
    assert "<pre>curl -X PUT &#39;{&#34;name&#34;: &#34;&lt;i&gt;&#34;}&#39;</pre>" in text


async def test_nothing_is_fetched_from_anywhere() -> None:
    answer = await page()
    assert "http" not in answer.text.replace("http://x", "")
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
