"""Native events: what is taken, what is refused and with which words."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import Batch
from services.ingest.limits import EVENT_BYTES_MAX, EVENTS_MAX, Terms
from services.ingest.native import parse, parse_one
from shared.clock import to_us
from shared.errors import InvalidInput, NotParseable, TooLarge
from shared.events import Event, decode, record_key

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = Terms(product="reserve", now_us=to_us(NOW), late_window_us=35 * 86_400_000_000)


def made() -> str:
    return "made"


def taken(body: object, *, lines: bool = False, terms: Terms = TERMS) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(raw, terms, made, lines=lines)


def events(batch: Batch) -> list[Event]:
    found = [decode(message.value) for message in batch.messages]
    assert all(isinstance(event, Event) for event in found)
    return found  # type: ignore[return-value]


def refused(body: object, *, lines: bool = False) -> list[tuple[int, str, str]]:
    return [(item.index, item.code, item.message) for item in taken(body, lines=lines).rejected]


def only_refusal(event: object) -> str:
    [(index, code, message)] = refused([event])
    assert (index, code) == (0, "invalid")
    return message


def test_a_whole_event_comes_through_as_sent() -> None:
    [event] = events(
        taken(
            {
                "event_id": "e-1",
                "customer_id": "c-17",
                "event": "reservation.created",
                "occurred_at": "2026-03-02T18:30:00+09:00",
                "user_id": "u-3",
                "properties": {"party": 4, "tags": ["a", {"b": None}]},
            }
        )
    )
    assert event == Event(
        product="reserve",
        customer_id="c-17",
        event_id="e-1",
        event="reservation.created",
        occurred_us=to_us(datetime(2026, 3, 2, 9, 30, tzinfo=UTC)),
        received_us=to_us(NOW),
        user_id="u-3",
        properties={"party": 4, "tags": ["a", {"b": None}]},
    )


def test_only_the_customer_is_needed() -> None:
    [event] = events(taken({"customer_id": "c-17"}))
    assert event == Event(
        product="reserve",
        customer_id="c-17",
        event_id="made",
        event="used",
        occurred_us=TERMS.now_us,
        received_us=TERMS.now_us,
    )


def test_nulls_are_as_good_as_absent() -> None:
    nulls = dict.fromkeys(("event_id", "event", "occurred_at", "occurred_on", "user_id", "properties"))
    assert events(taken({"customer_id": "c-17", **nulls})) == events(taken({"customer_id": "c-17"}))


def test_empty_text_is_as_good_as_absent_but_for_the_customer() -> None:
    empty = dict.fromkeys(("event_id", "event", "user_id"), "")
    assert events(taken({"customer_id": "c-17", **empty})) == events(taken({"customer_id": "c-17"}))


def test_names_may_hold_blanks_and_lose_those_around_them() -> None:
    [event] = events(
        taken({"customer_id": " c 17", "event": "Order Completed ", "event_id": "| |", "user_id": 0})
    )
    assert (event.customer_id, event.event, event.event_id, event.user_id) == (
        "c 17",
        "Order Completed",
        "| |",
        "0",
    )


def test_numbers_are_ids_by_their_digits() -> None:
    [event] = events(taken({"customer_id": 17, "event_id": 4, "user_id": 5}))
    assert (event.customer_id, event.event_id, event.user_id) == ("17", "4", "5")


def test_the_record_is_keyed_by_product_and_customer() -> None:
    assert taken({"customer_id": " c-17 "}).messages[0].key == record_key("reserve", "c-17")


@pytest.mark.parametrize("field", ["occurred_at", "occurred_on"])
def test_a_bare_date_names_the_usage_day(field: str) -> None:
    [event] = events(taken({"customer_id": "c-17", "event": "x", field: "2026-03-01"}))
    assert (event.occurred_us, event.occurred_on, event.event) == (None, date(2026, 3, 1), "x")


def test_backfill_is_marked_and_may_be_old() -> None:
    terms = Terms(product="reserve", now_us=TERMS.now_us, late_window_us=0, backfill=True)
    [event] = events(taken({"customer_id": "c-17", "occurred_at": "2019-01-01T00:00:00Z"}, terms=terms))
    assert event.backfill


def test_arrays_keep_their_order() -> None:
    batch = taken([{"customer_id": f"c-{n}"} for n in range(20)])
    assert [event.customer_id for event in events(batch)] == [f"c-{n}" for n in range(20)]


@pytest.mark.parametrize("lines", [True, False])
def test_events_on_lines_of_their_own_are_ndjson_said_or_not(lines: bool) -> None:
    body = b'{"customer_id": "a"}\r\n\n{"customer_id": "b"}\n'
    assert [event.customer_id for event in events(taken(body, lines=lines))] == ["a", "b"]


def test_a_single_event_may_be_written_over_several_lines() -> None:
    assert len(taken(b'{\n "customer_id":\n "a"\n}\n').messages) == 1


def test_a_broken_line_is_refused_alone() -> None:
    body = b'{"customer_id": "a"}\n{"customer_id": \n{"customer_id": "b"}'
    assert refused(body) == [(1, "not_parseable", "line 2 is not JSON")]
    assert len(taken(body).messages) == 2


def test_a_byte_order_mark_is_no_harm() -> None:
    assert len(taken(b'\xef\xbb\xbf{"customer_id": "a"}').messages) == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({}, "customer_id is missing"),
        ({"customerId": "c-17"}, "customer_id is missing"),
        ({"customer_id": ""}, "customer_id is empty"),
        ({"customer_id": "a\u0000b"}, "customer_id has control characters"),
        ({"customer_id": "c" * 201}, "customer_id has more than 200 characters"),
        ({"customer_id": "c", "occured_at": "2026-03-02"}, "unknown field 'occured_at'"),
        ({"customer_id": "c", "occurred_at": "2026-03-02T18:30:00"}, "occurred_at has no offset"),
        ({"customer_id": "c", "occurred_at": "yesterday"}, "occurred_at is no time"),
        ({"customer_id": "c", "occurred_at": "2026-02-30"}, "occurred_at is no time"),
        ({"customer_id": "c", "occurred_at": 1772443800}, "occurred_at"),
        ({"customer_id": "c", "occurred_on": "2026-03-02T00:00:00Z"}, "occurred_on"),
        ({"customer_id": "c", "occurred_at": "2026-03-02", "occurred_on": "2026-03-02"}, "occurred_at"),
        (
            {"customer_id": "c", "occurred_at": "2026-03-02T00:00:00Z", "occurred_on": "2026-03-02"},
            "not both",
        ),
        ({"customer_id": "c", "event": 4}, "$.event"),
        ({"customer_id": "c", "event": " "}, "event is empty"),
        ({"customer_id": "c", "user_id": " "}, "user_id is empty"),
        ({"customer_id": "c", "event_id": "e\u0007"}, "event_id has control characters"),
        ({"customer_id": "c", "event_id": "e" * 201}, "event_id has more than 200 characters"),
        ({"customer_id": True}, "customer_id"),
        ({"customer_id": "c", "properties": []}, "properties"),
        ("c-17", "an event is a JSON object"),
        (None, "an event is a JSON object"),
        ([], "an event is a JSON object"),
    ],
)
def test_a_bad_event_is_told_what_is_wrong_with_it(event: object, message: str) -> None:
    assert message in only_refusal(event)


@pytest.mark.parametrize(
    ("occurred", "code"),
    [
        ("2199-01-01T00:00:00Z", "in_future"),
        ("2199-01-01", "in_future"),
        ("2020-01-01T00:00:00Z", "too_old"),
        ("2020-01-01", "too_old"),
        ("0001-01-01T00:00:00+14:00", "too_old"),
    ],
)
def test_the_future_and_the_distant_past_have_their_own_codes(occurred: str, code: str) -> None:
    assert [item[1] for item in refused({"customer_id": "c", "occurred_at": occurred})] == [code]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"customer_id": "b", "properties": {"x": NaN}}',
        b'{"customer_id": "b", "properties": {"x": [-Infinity]}}',
        b'{"customer_id": "b", "properties": {"x": 1e999}}',
        b'{"customer_id": "b\\ud800"}',
        b'{"customer_id": "b", "properties": {"\\udfff": 1}}',
        b'{"customer_id": "b\xff"}',
        b'{"customer_id": "b", "properties": {"x": ' + b"9" * 5000 + b"}}",
        b'{"customer_id": "b", "properties": {"x": ' + b"[" * 100 + b"]" * 100 + b"}}",
    ],
)
def test_what_json_does_not_have_spoils_its_own_event_alone(bad: bytes) -> None:
    batch = taken(b'[{"customer_id": "a"},' + bad + b',{"customer_id": "c"}]')
    assert [event.customer_id for event in events(batch)] == ["a", "c"]
    assert [(item.index, item.code) for item in batch.rejected] == [(1, "invalid")]


def test_a_key_written_twice_counts_once() -> None:
    [event] = events(taken(b'{"customer_id": "a", "customer_id": "b"}'))
    assert event.customer_id == "b"


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"{", b"[", b'[{"customer_id": "a"}', b"nonsense", b"\xff\xfe", b"[" * 100_000]
)
def test_a_body_that_is_no_json_is_not_parseable(body: bytes) -> None:
    with pytest.raises(NotParseable):
        taken(body)


def test_an_empty_array_holds_nothing_and_is_no_error() -> None:
    batch = taken([])
    assert (batch.accepted_count, batch.rejected) == (0, [])


@pytest.mark.parametrize("lines", [True, False])
def test_one_event_too_many_refuses_the_body(lines: bool) -> None:
    one = b'{"customer_id": "a"}'
    glue = b"\n" if lines else b","
    full, over = (glue.join([one] * count) for count in (EVENTS_MAX, EVENTS_MAX + 1))
    if not lines:
        full, over = b"[" + full + b"]", b"[" + over + b"]"
    assert len(taken(full, lines=lines).messages) == EVENTS_MAX
    with pytest.raises(TooLarge):
        taken(over, lines=lines)


@pytest.mark.parametrize("neighbour", [{"customer_id": "a"}, {}])
def test_an_event_that_is_too_large_is_refused_alone(neighbour: dict[str, Any]) -> None:
    large = {"customer_id": "b", "properties": {"x": "x" * EVENT_BYTES_MAX}}
    codes = {item[0]: item[1] for item in refused([neighbour, large])}
    assert codes[1] == "too_large"


def test_a_rejection_keeps_what_was_sent_and_whose_it_was() -> None:
    [rejection] = taken([{"customer_id": "c-17", "occurred_at": "soon"}]).rejected
    assert json.loads(rejection.payload) == {"customer_id": "c-17", "occurred_at": "soon"}
    assert rejection.customer_id == "c-17"


def test_one_event_is_parsed_as_in_a_batch() -> None:
    body = b'{"customer_id": "c-17", "event_id": "e"}'
    assert [parse_one(body, TERMS, made)] == events(taken(body))
    with pytest.raises(InvalidInput, match="customer_id is missing"):
        parse_one(b"{}", TERMS, made)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.one_of(
    st.datetimes(datetime(2025, 12, 1), datetime(2026, 5, 1)).map(lambda at: at.isoformat() + "Z"),  # noqa: DTZ001
    st.dates().map(date.isoformat),
    st.text(max_size=12),
    JSON,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": st.text(st.characters(), max_size=5) | st.integers() | JSON,
        "event_id": st.text() | JSON,
        "event": st.text() | JSON,
        "occurred_at": TIMES,
        "occurred_on": TIMES,
        "user_id": st.text() | JSON,
        "properties": st.dictionaries(st.text(), JSON, max_size=3) | JSON,
        "other": JSON,
    },
)


@given(items=st.lists(NEARLY | JSON, max_size=6), lines=st.booleans())
def test_every_item_is_accepted_or_refused_and_none_gets_lost(items: list[object], lines: bool) -> None:
    if lines:
        body = b"\n".join(json.dumps(item).encode() for item in items) or b" "
    else:
        body = json.dumps(items).encode()
    try:
        batch = taken(body, lines=lines)
    except NotParseable:
        assert not items
        return
    assert len(batch.messages) + len(batch.rejected) == len(items)
    indexes = [item.index for item in batch.rejected]
    assert indexes == sorted(set(indexes))
    for event in events(batch):
        assert (
            event.occurred_us is None
            or event.occurred_us <= TERMS.now_us + timedelta(minutes=5).seconds * 10**6
        )
        assert event.customer_id.strip() == event.customer_id != ""


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), lines=st.booleans())
def test_any_bytes_are_parsed_or_refused(body: bytes, lines: bool) -> None:
    try:
        taken(body, lines=lines)
    except (NotParseable, TooLarge) as error:
        assert "\n" not in error.message  # noqa: PT017


@given(items=st.lists(NEARLY, max_size=5))
def test_alone_on_a_line_or_in_an_array_an_event_fares_the_same(items: list[object]) -> None:
    together = taken(items)
    apart = [taken([item]) for item in items]
    assert together.messages == [message for batch in apart for message in batch.messages]
    assert [item.message for item in together.rejected] == [
        item.message for batch in apart for item in batch.rejected
    ]
