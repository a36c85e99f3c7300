"""Every preset against the JSON (or form) that its tool documents, and what becomes of its answers."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

from services.notifier.channels.http import Answer, Request
from services.notifier.channels.presets import Preset, load_preset, request_of
from services.notifier.tasks.announce import Kind
from shared.errors import ConfigError
from tests.unit.notifier.channels.presets import ANSWERS, WITH, Tool, letter, opened

GOLDEN = Path(__file__).parent / "golden"
PRESETS = sorted(
    p.name.removesuffix(".yaml") for p in (files("services.notifier.channels") / "presets").iterdir()
)
CLOSED = [name for name in PRESETS if load_preset(name, "").requests.closed is not None]
FOUND = [name for name in PRESETS if load_preset(name, "").requests.find is not None]

BUSY = Answer(error="no answer in time", uncertain=True)


def shown(request: Request) -> dict[str, Any]:
    """A request as people read it."""
    body: Any = request.body.decode()
    kind = request.headers.get("content-type", "")
    if "json" in kind:
        body = json.loads(body)
    elif "form" in kind:
        body = dict(parse_qsl(body, strict_parsing=True))
    return {"method": request.method, "url": request.url, "headers": dict(request.headers), "body": body}


async def asked(preset: str, *answers: Answer, kind: Kind = "opened", **values: Any) -> list[dict[str, Any]]:
    tool = Tool(*answers)
    await opened(preset, tool).send([letter(kind, **values)], 0)
    return [shown(request) for request in tool.requests]


async def conversation(preset: str) -> dict[str, Any]:
    """What a tool is told when a call opens, when it closes, and when an attempt ended in silence."""
    told = {"opened": await asked(preset)}
    if preset in CLOSED:
        told["closed"] = await asked(preset, kind="changed", reference="R1")
    if preset in FOUND:
        told["find"] = (await asked(preset, Answer(status=404), uncertain=True))[:1]
    return told


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_preset_says_what_its_tool_documents(preset: str) -> None:
    golden = json.loads((GOLDEN / f"{preset}.json").read_text(encoding="utf-8"))
    assert await conversation(preset) == golden


@pytest.mark.parametrize("preset", PRESETS)
async def test_the_tools_name_of_the_task_is_kept(preset: str) -> None:
    result = await opened(preset, Tool(Answer(status=201, body=ANSWERS[preset]))).send([letter()], 0)
    expected = {"salesforce": letter().task.id, "pagerduty": "the-call", "twilio": "CA1", "kintone": "100"}
    others = {"hubspot": "512", "zendesk": "35436", "chatwork": "1234"}
    assert (result.verdict, result.reference) == ("delivered", {**expected, **others}[preset])


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_customers_name_stays_inside_its_string(preset: str) -> None:
    name = 'O\'Neil "Café" \\ {{ 7*7 }} </Say><Dial>1</Dial> [toall] \u2028 &To=1'
    (request,) = await asked(preset, name=name)
    body = request["body"]
    assert "{{ 7*7 }}" in json.dumps(body)
    if preset == "twilio":
        assert body["Twiml"].count("<") == 4
        assert set(body) == {"To", "From", "Twiml"}
    elif preset == "chatwork":
        assert "[toall]" not in body["body"]
    else:
        assert "Café" in json.dumps(body, ensure_ascii=False)


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_bare_customer_that_nobody_owns_is_no_failure(preset: str) -> None:
    tool = Tool()
    values = {**WITH[preset], **({"fallback": "+811"} if preset == "twilio" else {})}
    bare = letter(csm=None, phone=None, name=None, contact_window=None, properties={})
    assert (await opened(preset, tool, values).send([bare], 0)).verdict == "delivered"
    assert "null" not in tool.requests[0].body.decode()


@pytest.mark.parametrize("preset", FOUND)
async def test_after_a_silence_the_tool_is_asked_before_a_second_task_is_made(preset: str) -> None:
    there = {
        "hubspot": b'{"total": 1, "results": [{"id": "512"}]}',
        "zendesk": b'{"tickets": [{"id": 35436}]}',
        "kintone": b'{"records": [{"$id": {"type": "__ID__", "value": "100"}}]}',
    }
    tool = Tool(Answer(status=200, body=there[preset]))
    result = await opened(preset, tool).send([letter(uncertain=True)], 0)
    assert (len(tool.requests), result.verdict) == (1, "delivered")
    assert result.reference in ("512", "35436", "100")
    nothing = Tool(Answer(status=200, body=b'{"results": [], "tickets": [], "records": []}'))
    await opened(preset, nothing).send([letter(uncertain=True)], 0)
    assert len(nothing.requests) == 2


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(status=400, body=b"bad"), "dead"),
        (Answer(status=401), "retry"),
        (Answer(status=429, headers={"retry-after": "7"}), "retry"),
        (Answer(status=500), "retry"),
        (BUSY, "retry"),
    ],
)
async def test_an_answer_is_final_only_where_waiting_changes_nothing(answer: Answer, verdict: str) -> None:
    for kind in ("opened", "changed"):
        result = await opened("hubspot", Tool(answer)).send([letter(kind, reference="R")], 0)
        assert result.verdict == verdict


async def test_a_template_that_fails_on_one_customer_gives_up_that_delivery_alone() -> None:
    tool = Tool()
    twilio = opened("twilio", tool)
    result = await twilio.send([letter(csm="csm-7")], 0)
    assert (result.verdict, tool.requests) == ("dead", [])
    assert "there is no number to ring for nobody" in result.detail
    assert (await twilio.send([letter()], 0)).verdict == "delivered"


@pytest.mark.parametrize("kind", ["again", "woken"])
async def test_a_tool_has_one_task_for_a_call_however_often_it_is_announced(kind: Kind) -> None:
    tool = Tool()
    assert (await opened("hubspot", tool).send([letter(kind)], 0)).verdict == "unwanted"
    assert tool.requests == []


async def test_what_was_never_made_is_not_closed() -> None:
    tool = Tool()
    assert (await opened("pagerduty", tool).send([letter("closed")], 0)).verdict == "unwanted"
    assert (await opened("twilio", tool).send([letter("closed", reference="CA1")], 0)).verdict == "unwanted"
    assert tool.requests == []


@pytest.mark.parametrize(
    ("preset", "values", "complaint"),
    [
        ("hupspot", {}, r"channels\.crm\.preset: no preset 'hupspot'; there are chatwork, hubspot"),
        ("hubspot", {}, r"channels\.crm\.with: 'token' is missing: the access token"),
        ("hubspot", {"token": "t", "onwers": {}}, r"unknown key 'onwers'; known here: token, owners"),
        ("./nowhere.yaml", {}, r"cannot read './nowhere.yaml': No such file"),
    ],
)
def test_a_preset_that_cannot_work_is_refused_at_start(
    preset: str, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        opened(preset, Tool(), values)


async def test_a_tool_of_ones_own_is_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    request = {"url": "https://crm.example/{{ customer.id }}", "json": {"a": {"b": "{{ day }}"}}}
    own.write_text(yaml.safe_dump({"documentation": ["none"], "requests": {"opened": request}}))
    tool = Tool()
    assert (await opened(str(own), tool, {}).send([letter(customer_id="a/b")], 0)).verdict == "delivered"
    assert tool.requests[0].url == "https://crm.example/a%2Fb"
    assert json.loads(tool.requests[0].body) == {"a": {"b": "2026-03-02"}}


def test_a_file_that_is_no_preset_says_where(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: {opened: {urll: x}}")
    with pytest.raises(ConfigError, match=r"is no preset: .*requests\.opened\.url: Field required"):
        load_preset(str(own), "channels.crm.preset")


def test_templates_reach_nothing_but_the_facts() -> None:
    part = {"url": "https://x", "json": {"a": "{{ ''.__class__.__mro__ }}"}}
    preset = Preset.model_validate({"documentation": [], "requests": {"opened": part}})
    with pytest.raises(Exception, match="unsafe"):
        request_of(preset.requests.opened, {})
