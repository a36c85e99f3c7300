"""CloudEvents 1.0 in structured, batched and binary mode."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from services.ingest.batch import Batch
from services.ingest.dialects.cloudevents import is_one, open_body, parse_item
from shared.errors import NotParseable
from tests.unit.ingest.dialects.cases import JSON, TERMS, ago, messages, only_event, only_refusal, read, us

EVENT = {
    "specversion": "1.0",
    "id": "d7131ac4",
    "source": "/shop",
    "type": "order.completed",
    "subject": "c-1",
    "time": ago(seconds=1),
    "data": {"a": 1, "user_id": "u-1"},
}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
BINARY = {f"ce-{name}": str(value) for name, value in EVENT.items() if name != "data"}


def taken(body: Any, headers: dict[str, str] = STRUCTURED) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(open_body(Headers(headers), raw), parse_item)


def test_a_structured_event_is_use_by_its_subject() -> None:
    event = only_event(taken(EVENT))
    assert (event.customer_id, event.event, event.event_id) == ("c-1", "order.completed", "/shop d7131ac4")
    assert (event.occurred_us, event.user_id) == (us(ago(seconds=1)), "u-1")
    assert event.properties == EVENT["data"]


def test_all_three_modes_say_the_same() -> None:
    binary = taken(EVENT["data"], {**BINARY, "content-type": "application/json"})
    assert taken([EVENT], BATCHED).messages == taken(EVENT).messages == binary.messages


def test_headers_are_percent_decoded() -> None:
    assert only_event(taken(b"", {**BINARY, "ce-subject": "%E6%9D%B1%E4%BA%AC"})).customer_id == "東京"


@pytest.mark.parametrize(
    ("body", "content_type", "properties"),
    [
        (b"", "", {}),
        (b"\x00\x01", "application/octet-stream", {}),
        (b"<a/>", "application/xml", {}),
        (b"[1]", "application/json", {"data": [1]}),
        (b'{"a": 1}', "application/vnd.shop+json", {"a": 1}),
    ],
)
def test_data_that_is_json_becomes_the_properties(body: bytes, content_type: str, properties: object) -> None:
    assert only_event(taken(body, {**BINARY, "content-type": content_type})).properties == properties


def test_the_time_may_be_absent() -> None:
    event = {name: value for name, value in EVENT.items() if name != "time"}
    assert only_event(taken(event)).occurred_us == TERMS.now_us


def test_a_long_source_makes_a_short_id_that_stays_the_same() -> None:
    ids = {only_event(taken({**EVENT, "source": "s" * 300})).event_id for _ in range(2)}
    assert len(ids) == 1
    assert len(ids.pop()) == 36


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"specversion": "0.3"}, "invalid", "specversion is 1.0"),
        ({"id": ""}, "invalid", "the attribute id is missing"),
        ({"source": None}, "invalid", "the attribute source is missing"),
        ({"type": 4}, "invalid", "the attribute type is missing"),
        ({"subject": ""}, "no_customer", "names no customer"),
        ({"time": "today"}, "invalid", "time is no time"),
        ({"time": "2199-01-01T00:00:00Z"}, "in_future", "occurred_at lies in the future"),
    ],
)
def test_a_bad_event_is_refused_with_its_reason(change: dict[str, Any], code: str, said: str) -> None:
    found, message = only_refusal(taken({**EVENT, **change}))
    assert found == code
    assert message.startswith(said)


def test_a_bad_event_does_not_fail_its_batch() -> None:
    batch = taken([EVENT, {**EVENT, "id": 4}, "x"], BATCHED)
    assert [item.index for item in batch.rejected] == [1, 2]
    assert len(batch.messages) == 1


def test_a_request_is_known_by_its_headers() -> None:
    assert is_one(Headers(STRUCTURED))
    assert is_one(Headers(BATCHED))
    assert is_one(Headers(BINARY))
    assert not is_one(Headers({"content-type": "application/json"}))


def test_a_body_that_is_no_json_is_not_parseable() -> None:
    with pytest.raises(NotParseable):
        taken(b"{")


ITEM = st.fixed_dictionaries(
    {"specversion": st.just("1.0")},
    optional={
        name: st.text(st.characters(), max_size=5) | JSON
        for name in ("id", "source", "type", "subject", "time", "data")
    },
)


@given(items=st.lists(ITEM | JSON, max_size=5))
def test_every_item_is_accepted_or_refused(items: list[Any]) -> None:
    batch = taken(items, BATCHED)
    assert len(messages(batch)) + len(batch.rejected) == len(items)


VALUE = st.text(st.characters(codec="latin-1"), max_size=10)


@given(headers=st.dictionaries(st.sampled_from(sorted(BINARY)), VALUE), body=st.binary(max_size=50))
def test_any_headers_and_body_are_taken_or_refused(headers: dict[str, str], body: bytes) -> None:
    try:
        batch = taken(body, {**BINARY, **headers})
    except NotParseable:
        return
    assert len(batch.messages) + len(batch.rejected) == 1
