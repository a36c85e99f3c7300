"""PostHog, with bodies as its SDKs were seen to send them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import Batch
from services.ingest.dialects.posthog import IGNORED, open_body, parse_item
from shared.config import DEFAULT_CUSTOMER_PATHS
from shared.errors import NotParseable
from tests.unit.ingest.dialects.cases import (
    JSON,
    ago,
    messages,
    only_event,
    only_profile,
    only_refusal,
    read,
    us,
)

# As posthog 7.91.1 (Python) sent it.
CAPTURE = {
    "properties": {"a": 1, "$groups": {"company": "g-1"}, "$lib": "posthog-python", "$is_server": True},
    "timestamp": ago(seconds=1),
    "distinct_id": "u-1",
    "event": "Order Completed",
    "uuid": "434fd0ed-fc2f-4957-a02a-8ff610e85702",
}
GROUP = {
    "event": "$groupidentify",
    "properties": {"$group_type": "company", "$group_key": "g-1", "$group_set": {"name": "C"}},
    "distinct_id": "$company_g-1",
    "timestamp": ago(seconds=1),
    "uuid": "9008f450-acd2-464d-832b-2d9c94382ccb",
}


def taken(*items: Any, paths: tuple[str, ...] = DEFAULT_CUSTOMER_PATHS, **envelope: Any) -> Batch:
    body = json.dumps({"api_key": "ut_key", "batch": items, **envelope}).encode()
    return read(open_body(body), parse_item, paths=paths)


def test_a_capture_is_use_by_its_group() -> None:
    event = only_event(taken(CAPTURE, sent_at=ago(seconds=0)))
    assert (event.customer_id, event.user_id, event.event) == ("g-1", "u-1", "Order Completed")
    assert (event.event_id, event.occurred_us) == (CAPTURE["uuid"], us(ago(seconds=1)))
    assert event.properties["a"] == 1


def test_without_groups_the_person_is_the_customer() -> None:
    assert only_event(taken({**CAPTURE, "properties": {}})).customer_id == "u-1"


@pytest.mark.parametrize("name", ["$pageview", "$screen", "$autocapture"])
def test_looking_at_a_page_is_use(name: str) -> None:
    assert only_event(taken({**CAPTURE, "event": name})).event == name


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_software_does_by_itself_is_no_use(name: str) -> None:
    batch = taken({**CAPTURE, "event": name})
    assert (batch.messages, batch.rejected, batch.ignored_count) == ([], [], 1)


def test_groupidentify_tells_the_group_s_profile() -> None:
    changed = only_profile(taken(GROUP))
    assert (changed.customer_id, changed.profile.name, changed.merge) == ("g-1", "C", True)


def test_a_group_of_another_type_than_the_customers_says_nothing() -> None:
    batch = taken(GROUP, paths=("properties.$groups.project", "distinct_id"))
    assert (batch.messages, batch.ignored_count) == ([], 1)


@pytest.mark.parametrize(
    "item",
    [
        {"event": "$set", "distinct_id": "u-1", "$set": {"name": "P"}, "properties": {}},
        {"event": "$identify", "distinct_id": "u-1", "properties": {"$set": {"name": "P"}}},
        {"event": "$identify", "distinct_id": "u-1", "properties": {"$set_once": {"name": "P"}, "$set": {}}},
    ],
)
def test_identify_tells_the_profile_of_a_person_who_is_the_customer(item: dict[str, Any]) -> None:
    changed = only_profile(taken(item))
    assert (changed.customer_id, changed.profile.name) == ("u-1", "P")


def test_identify_of_a_person_in_a_group_changes_nothing() -> None:
    item = {
        "event": "$set",
        "distinct_id": "u",
        "$set": {"name": "P"},
        "properties": {"$groups": {"company": "g"}},
    }
    assert taken(item).messages == []


def test_a_migration_is_history() -> None:
    event = only_event(taken({**CAPTURE, "timestamp": "2020-01-01T00:00:00Z"}, historical_migration=True))
    assert event.backfill


def test_a_wrong_clock_is_corrected() -> None:
    event = only_event(taken({**CAPTURE, "timestamp": ago(hours=-3, minutes=10)}, sent_at=ago(hours=-3)))
    assert event.occurred_us == us(ago(minutes=10))


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "ut_key", "event": "used", "distinct_id": "u"},
        {"token": "ut_key", "event": "used", "distinct_id": "u"},
        {"event": "used", "properties": {"token": "ut_key", "distinct_id": "u"}},
        [{"event": "used", "properties": {"token": "ut_key", "distinct_id": "u"}}],
    ],
)
def test_a_single_capture_brings_its_key_and_it_is_not_kept(body: Any) -> None:
    envelope = open_body(json.dumps(body).encode())
    batch = read(envelope, parse_item)
    assert envelope.key == "ut_key"
    assert only_event(batch).customer_id == "u"
    assert b"ut_key" not in batch.messages[0].value


def test_keys_within_a_batch_are_not_kept_either() -> None:
    batch = taken({**CAPTURE, "properties": {"token": "ut_key", "a": 1}}, {"event": 4, "api_key": "ut_key"})
    assert b'"properties":{"a":1}' in batch.messages[0].value
    assert b"ut_key" not in batch.messages[0].value
    assert "ut_key" not in batch.rejected[0].payload


def test_a_refused_capture_does_not_keep_its_key() -> None:
    batch = read(
        open_body(b'{"event": 4, "properties": {"token": "ut_key", "distinct_id": "u"}}'), parse_item
    )
    assert only_refusal(batch) == ("invalid", "event is text")
    assert "ut_key" not in batch.rejected[0].payload


@pytest.mark.parametrize("body", [b"", b"{", b"4", b'{"batch": 4}'])
def test_a_body_that_is_no_batch_is_not_parseable(body: bytes) -> None:
    with pytest.raises(NotParseable):
        open_body(body)


ITEM = st.fixed_dictionaries(
    {"event": st.sampled_from(["used", "$set", "$identify", "$groupidentify", "$exception"]) | JSON},
    optional={
        name: st.text(st.characters(), max_size=5) | JSON
        for name in ("distinct_id", "uuid", "timestamp", "properties", "$set", "$set_once")
    },
)


@given(items=st.lists(ITEM | JSON, max_size=5), history=JSON)
def test_every_item_is_accepted_ignored_or_refused(items: list[Any], history: Any) -> None:
    batch = taken(*items, historical_migration=history, sent_at=history)
    assert batch.accepted_count + len(batch.rejected) == len(items)
    assert len(messages(batch)) == len(batch.messages)


@given(body=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        read(open_body(body), parse_item)
    except NotParseable as error:
        assert error.message  # noqa: PT017
