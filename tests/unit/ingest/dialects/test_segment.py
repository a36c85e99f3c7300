"""Segment, RudderStack and Jitsu, with bodies as their SDKs were seen to send them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import Batch
from services.ingest.dialects.segment import open_body, parse_item
from shared.clock import rfc3339
from shared.config import DEFAULT_CUSTOMER_PATHS
from shared.errors import NotParseable, TooLarge
from shared.events import Event
from tests.unit.ingest.dialects.cases import (
    JSON,
    TERMS,
    ago,
    messages,
    only_event,
    only_profile,
    only_refusal,
    read,
    us,
)

# As segment-analytics-python 2.4.0 and @rudderstack/rudder-sdk-node 3.0.13 sent them.
PYTHON_TRACK = {
    "integrations": {},
    "anonymousId": None,
    "properties": {"a": 1},
    "timestamp": ago(seconds=1),
    "context": {"groupId": "g-1", "library": {"name": "analytics-python", "version": "2.4.0"}},
    "userId": "u-1",
    "type": "track",
    "event": "Order Completed",
    "messageId": "42571dcc-89c5-44e4-87ed-c0ae5018b9fa",
}
RUDDER_NODE = {
    "batch": [
        {
            "userId": "u-1",
            "event": "Order Completed",
            "properties": {"a": 1},
            "type": "track",
            "context": {"library": {"name": "analytics-node", "version": "3.0.13"}},
            "channel": "server",
            "originalTimestamp": ago(hours=2),
            "messageId": "4ab05dd2-5527-4849-b259-669c328a3133",
            "sentAt": ago(seconds=0),
        }
    ],
    "timestamp": ago(seconds=0),
    "sentAt": ago(seconds=0),
}


def taken(body: Any, kind: str | None = None, **how: Any) -> Batch:
    return read(open_body(json.dumps(body).encode(), kind), parse_item, **how)


def track(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "used", "groupId": "g-1", "timestamp": ago(seconds=0), **fields}


def test_a_track_of_segment_s_python_sdk_is_use_by_its_group() -> None:
    event = only_event(taken({"batch": [PYTHON_TRACK], "sentAt": ago(seconds=0), "writeKey": "ut_key"}))
    assert event == Event(
        product="reserve",
        customer_id="g-1",
        event_id="42571dcc-89c5-44e4-87ed-c0ae5018b9fa",
        event="Order Completed",
        occurred_us=us(ago(seconds=1)),
        received_us=TERMS.now_us,
        user_id="u-1",
        properties={"a": 1},
    )


def test_rudderstack_s_node_sdk_tells_the_time_under_another_name() -> None:
    event = only_event(taken(RUDDER_NODE))
    assert (event.customer_id, event.occurred_us) == ("u-1", us(ago(hours=2)))


def test_the_key_may_come_in_the_body() -> None:
    assert open_body(b'{"batch": [], "writeKey": "ut_key"}').key == "ut_key"
    assert open_body(b'{"type": "track", "writeKey": "ut_key:***"}').key == "ut_key"
    assert open_body(b'{"batch": [], "writeKey": 4}').key is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"writeKey": "ut_key", "event": "used"}, "track"),
        ([{"writeKey": "ut_key", "type": "track"}], None),
        ({"batch": [{"writeKey": "ut_key", "type": "track"}]}, None),
    ],
)
def test_a_key_is_not_kept_with_the_item_it_came_with(body: Any, kind: str | None) -> None:
    [rejection] = taken(body, kind).rejected
    assert "ut_key" not in rejection.payload


def test_a_single_item_takes_its_type_from_the_path() -> None:
    assert only_event(taken({"groupId": "g-1", "event": "used"}, "track")).event == "used"


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_pages_and_screens_are_use_with_their_name_among_the_properties(kind: str) -> None:
    event = only_event(
        taken({"userId": "u", "name": "Pricing", "category": "Docs", "properties": {"b": 1}}, kind)
    )
    assert (event.event, event.properties) == (kind, {"name": "Pricing", "category": "Docs", "b": 1})


def test_group_tells_the_customer_s_profile_and_is_no_use() -> None:
    traits = {"name": "Company", "timezone": "Asia/Tokyo", "mrr": 12, "plan": "pro", "phone": {"home": 1}}
    changed = only_profile(taken({"groupId": "g-1", "userId": "u-1", "traits": traits}, "group"))
    assert (changed.customer_id, changed.merge) == ("g-1", True)
    assert (changed.profile.name, changed.profile.time_zone, changed.profile.mrr) == (
        "Company",
        "Asia/Tokyo",
        12,
    )
    assert changed.profile.properties == {"plan": "pro", "phone": {"home": 1}}


def test_identify_tells_the_customer_s_profile_where_the_person_is_the_customer() -> None:
    changed = only_profile(taken({"userId": "u-1", "traits": {"name": "P"}}, "identify"))
    assert (changed.customer_id, changed.profile.name) == ("u-1", "P")


def test_identify_of_a_person_in_a_group_does_not_rename_the_group() -> None:
    batch = taken({"userId": "u-1", "context": {"groupId": "g-1"}, "traits": {"name": "P"}}, "identify")
    assert (batch.messages, batch.rejected, batch.ignored_count) == ([], [], 1)


def test_group_says_nothing_where_persons_are_the_customers() -> None:
    batch = taken({"groupId": "g-1", "userId": "u-1", "traits": {"name": "C"}}, "group", paths=("userId",))
    assert (batch.messages, batch.ignored_count) == ([], 1)


@pytest.mark.parametrize(
    "item", [{"userId": "u"}, {"userId": "u", "traits": {}}, {"userId": "u", "traits": 4}]
)
def test_traits_that_tell_nothing_change_nothing(item: dict[str, Any]) -> None:
    assert taken(item, "identify").accepted_count == 1
    assert taken(item, "identify").messages == []


def test_an_alias_is_accepted_and_says_nothing() -> None:
    batch = taken({"userId": "u", "previousId": "a"}, "alias")
    assert (batch.accepted_count, batch.messages) == (1, [])


@pytest.mark.parametrize(
    ("traits", "said"),
    [
        ({"time_zone": "Asia/Edo"}, "time_zone: "),
        ({"contract_started_on": "soon"}, "contract_started_on: "),
        ({"holidays": "XX"}, "holidays: "),
        ({"closed_weekdays": "mon tue wed thu fri sat sun"}, "closed_weekdays: every weekday is closed"),
    ],
)
def test_a_wrong_value_under_a_name_of_ours_is_refused(traits: dict[str, Any], said: str) -> None:
    assert only_refusal(taken({"groupId": "g", "traits": traits}, "group"))[1].startswith(said)


def test_a_zone_that_is_none_under_another_s_name_is_a_property() -> None:
    profile = only_profile(taken({"groupId": "g", "traits": {"timezone": "JST"}}, "group")).profile
    assert (profile.time_zone, profile.properties) == (None, {"timezone": "JST"})


def test_a_profile_needs_the_scope_for_it() -> None:
    batch = taken(
        {"batch": [track(), {"type": "group", "groupId": "g", "traits": {"name": "C"}}]},
        may_tell_profiles=False,
    )
    assert [(item.index, item.code) for item in batch.rejected] == [(1, "forbidden")]
    assert len(batch.messages) == 1


@pytest.mark.parametrize("hours", [-3, 2, 24 * 400])
def test_a_wrong_clock_is_corrected_by_when_it_says_it_sent(hours: int) -> None:
    # Used ten minutes before it was sent, by a clock that is `hours` behind.
    body = {"batch": [track(timestamp=ago(hours=hours, minutes=10))], "sentAt": ago(hours=hours)}
    assert only_event(taken(body)).occurred_us == us(ago(minutes=10))


def test_a_clock_that_is_wrong_by_minutes_is_left_alone() -> None:
    body = {"batch": [track(timestamp=ago(minutes=10))], "sentAt": ago(minutes=4)}
    assert only_event(taken(body)).occurred_us == us(ago(minutes=10))


def test_what_was_received_before_is_not_corrected_again() -> None:
    item = track(timestamp=ago(hours=3), receivedAt=ago(hours=2))
    assert only_event(taken({"batch": [item], "sentAt": ago(hours=2)})).occurred_us == us(ago(hours=3))


@pytest.mark.parametrize("sent_at", [None, "", "soon", 17, "2026-03-02T09:30:00", {}])
def test_an_unreadable_time_of_sending_corrects_nothing(sent_at: object) -> None:
    body = {"batch": [track(timestamp=ago(hours=3))], "sentAt": sent_at}
    assert only_event(taken(body)).occurred_us == us(ago(hours=3))


@pytest.mark.parametrize(
    ("item", "code", "said"),
    [
        ({"anonymousId": "a", "groupId": None}, "no_customer", "names no customer: none of groupId, "),
        ({"event": None}, "invalid", "event is text"),
        ({"event": ""}, "invalid", "event is empty"),
        ({"type": "click"}, "invalid", "type is one of track, "),
        ({"type": ["track"]}, "invalid", "type is one of"),
        ({"groupId": {"id": 1}}, "invalid", "groupId is text or a whole number"),
        ({"timestamp": "2026-03-02T09:00:00"}, "invalid", "timestamp has no offset"),
        ({"timestamp": 1772443800}, "invalid", "timestamp is no time"),
        ({"timestamp": "2199-01-01T00:00:00Z"}, "in_future", "occurred_at lies in the future"),
        ({"timestamp": "2020-01-01T00:00:00Z"}, "too_old", "older than the late window"),
        ({"properties": [1]}, "invalid", "properties are an object"),
        ({"properties": {"x": "x" * 40_000}}, "too_large", "an event holds"),
    ],
)
def test_a_bad_item_is_refused_alone_with_its_reason(item: dict[str, Any], code: str, said: str) -> None:
    batch = taken({"batch": [track(), {**track(), **item}, track()]})
    assert [(one.index, one.code) for one in batch.rejected] == [(1, code)]
    assert batch.rejected[0].message.startswith(said)
    assert len(batch.messages) == 2


def test_a_number_that_json_does_not_have_spoils_its_item_alone() -> None:
    body = {"batch": [track(), track(properties={"x": float("nan")}), track(properties={"x": "\ud800"})]}
    batch = read(open_body(json.dumps(body).encode()), parse_item)
    assert [item.index for item in batch.rejected] == [1, 2]
    assert "NaN" in batch.rejected[0].payload


def test_profiles_and_use_keep_the_order_in_which_they_were_sent() -> None:
    group = {"type": "group", "groupId": "g-1", "traits": {"name": "C"}}
    kinds = [type(message).__name__ for message in messages(taken({"batch": [track(), group, track()]}))]
    assert kinds == ["Event", "ProfileChanged", "Event"]


@pytest.mark.parametrize("body", [b"", b"{", b"4", b'"x"', b'{"batch": {}}', b"[" * 100_000])
def test_a_body_that_is_no_batch_is_not_parseable(body: bytes) -> None:
    with pytest.raises(NotParseable):
        open_body(body)


def test_too_many_items_are_refused_whole() -> None:
    with pytest.raises(TooLarge):
        taken({"batch": [track()] * 1001})


ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "identify", "group", "alias"]) | JSON},
    optional={
        name: st.text(st.characters(), max_size=5) | JSON
        for name in (
            "event",
            "userId",
            "groupId",
            "messageId",
            "timestamp",
            "properties",
            "traits",
            "context",
            "name",
        )
    },
)


@given(items=st.lists(ITEM | JSON, max_size=5), sent_at=st.just(rfc3339(TERMS.now_us)) | JSON)
def test_every_item_is_accepted_ignored_or_refused(items: list[Any], sent_at: Any) -> None:
    batch = taken({"batch": items, "sentAt": sent_at})
    assert batch.accepted_count + len(batch.rejected) == len(items)
    for message in messages(batch):
        if isinstance(message, Event):
            assert message.occurred_us is not None
            assert message.occurred_us <= TERMS.now_us + timedelta(minutes=5) // timedelta(microseconds=1)


@given(body=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        batch = read(open_body(body), parse_item)
    except NotParseable:
        return
    assert batch.accepted_count + len(batch.rejected) <= 100


def test_the_default_paths_are_those_documented() -> None:
    assert DEFAULT_CUSTOMER_PATHS[:3] == ("groupId", "context.groupId", "properties.$groups.*")
