"""The short way of foreign batches comes to what the long way comes to, whatever they hold."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects import cloudevents, posthog, segment
from services.ingest.dialects.mapping import Envelope, ParseItem
from shared.config import DEFAULT_CUSTOMER_PATHS
from tests.unit.ingest.dialects.cases import ago, messages, read

BATCHED = {"content-type": "application/cloudevents-batch+json"}
TRACK = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "userId": "u-1",
    "timestamp": ago(hours=1),
    "context": {"groupId": "g-1", "library": {"name": "analytics-python"}},
    "properties": {"total": 3, "tags": ["a"]},
}
CAPTURE = {
    "event": "order completed",
    "distinct_id": "u-1",
    "uuid": "e-1",
    "timestamp": ago(hours=1),
    "properties": {"total": 3, "$groups": {"company": "g-1"}},
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/orders",
    "type": "order.completed",
    "subject": "g-1",
    "time": ago(hours=1),
    "data": {"total": 3, "user_id": "u-1"},
}


class Kind(msgspec.Struct, frozen=True):
    """A dialect: a plain item of it, the body around items, and how both are read."""

    item: dict[str, Any]
    wrap: Callable[[list[Any]], Any]
    open_body: Callable[[bytes], Envelope]
    parse: ParseItem

    def envelope(self, items: list[Any]) -> Envelope:
        return self.open_body(msgspec.json.encode(self.wrap(items)))


SEGMENT = Kind(TRACK, lambda items: {"batch": items, "writeKey": "k"}, segment.open_body, segment.parse_item)
POSTHOG = Kind(CAPTURE, lambda items: {"batch": items, "api_key": "k"}, posthog.open_body, posthog.parse_item)
CLOUDEVENTS = Kind(
    CLOUD_EVENT,
    lambda items: items,
    lambda body: cloudevents.open_body(BATCHED, body),
    cloudevents.parse_item,
)
KINDS = pytest.mark.parametrize(
    "kind", [SEGMENT, POSTHOG, CLOUDEVENTS], ids=["segment", "posthog", "cloudevents"]
)

FIELDS = (
    *TRACK,
    *CAPTURE,
    *CLOUD_EVENT,
    "groupId",
    "accountId",
    "receivedAt",
    "unknown",
    "writeKey",
    "token",
)
TEXTS = ("", " ", "a", " a", "a ", "鮨", "\x7f", "x" * 201, "track", "page", "$set", "$pageview")
TIMES = (ago(hours=2), ago(days=40), ago(hours=-1), "2026-03-01", "2026-03-01T10:00:00", "soon")
GROUPS = (
    {"groupId": "g-2"},
    {"$groups": {"company": "g-3"}},
    {"$groups": {"company": 7}},
    {"accountId": "a"},
)
OTHERS = (None, 7, {}, {"token": "k"}, {"user_id": 4}, {"a": {"b": {"c": 1}}}, [1, {"a": {}}])
VALUES: tuple[Any, ...] = (*TEXTS, *TIMES, *GROUPS, *OTHERS)
PATHS = (DEFAULT_CUSTOMER_PATHS, ("unknown", "properties.total", "userId", "subject"))


def both_ways_agree(kind: Kind, items: list[Any], paths: tuple[str, ...]) -> bool:
    """Whether the short way, where it is open at all, comes to what the long way comes to."""
    envelope = kind.envelope(items)
    if envelope.long is None:
        return True
    return outcome(envelope, kind.parse, paths) == outcome(envelope.long(), kind.parse, paths)


def outcome(envelope: Envelope, parse: ParseItem, paths: tuple[str, ...]) -> Any:
    batch = read(envelope, parse, paths=paths)
    rejected = [(item.index, item.code, item.message) for item in batch.rejected]
    return messages(batch), rejected, batch.profile_count, batch.ignored_count


@KINDS
@pytest.mark.parametrize("field", sorted(set(FIELDS)))
def test_whatever_stands_in_a_field_both_ways_come_to_the_same(kind: Kind, field: str) -> None:
    differing = [
        value
        for value in VALUES
        for paths in PATHS
        if not both_ways_agree(kind, [{**kind.item, field: value}], paths)
    ]
    assert differing == []


@KINDS
@given(data=st.data())
def test_whatever_items_stand_together_both_ways_come_to_the_same(kind: Kind, data: st.DataObject) -> None:
    changes = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=2)
    items = [{**kind.item, **change} for change in data.draw(st.lists(changes, min_size=1, max_size=3))]
    assert both_ways_agree(kind, items, data.draw(st.sampled_from(PATHS)))


@KINDS
def test_a_batch_of_plain_use_goes_the_short_way(kind: Kind) -> None:
    envelope = kind.envelope([kind.item, kind.item])
    assert envelope.short is not None
    without_long_way = msgspec.structs.replace(envelope, long=lambda: pytest.fail("went the long way"))
    batch = read(without_long_way, kind.parse)
    assert [(event.customer_id, event.user_id) for event in messages(batch)] == [("g-1", "u-1")] * 2  # type: ignore[union-attr]


@KINDS
def test_one_old_event_sends_its_batch_the_long_way_and_is_refused_alone(kind: Kind) -> None:
    [time] = {"timestamp", "time"} & kind.item.keys()
    batch = read(kind.envelope([kind.item, {**kind.item, time: ago(days=40)}]), kind.parse)
    assert (len(batch.messages), [item.code for item in batch.rejected]) == (1, ["too_old"])
