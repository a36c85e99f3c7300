"""The short way of native events comes to what the long way comes to, whatever they hold."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.limits import Terms, are_surely_printable
from services.ingest.native import parse
from services.ingest.plain import read_plain
from shared.clock import to_us
from shared.errors import TooLarge

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = Terms(product="reserve", now_us=to_us(NOW), late_window_us=35 * 86_400_000_000)
PLAIN = {"customer_id": "c-1", "event_id": "e-1", "event": "used", "properties": {"n": 1}}

TEXT = st.text(max_size=6) | st.sampled_from(
    ["c-1", " c-1", "c 1", "c-1\u3000", "\x7f", "a\tb", "x" * 201, "鮨 "]
)
INSTANT = st.sampled_from(
    [timedelta(0), timedelta(minutes=4), timedelta(minutes=6), timedelta(days=-36)]
).map(lambda off: (NOW + off).isoformat())
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "event_id": TEXT | st.integers() | st.none(),
    "event": TEXT | st.none(),
    "occurred_at": INSTANT | st.sampled_from(["2026-03-01", "2026-03-01T10:00:00", "soon"]) | st.none(),
    "user_id": TEXT | st.integers() | st.none(),
    "properties": st.dictionaries(
        st.text(max_size=3), st.integers() | st.text(max_size=3) | st.just([{"a": []}])
    ),
    "customer": TEXT,
}
NATIVE = st.fixed_dictionaries({"customer_id": TEXT | st.integers()}, optional=FIELDS)


def outcome(body: str, *, lines: bool) -> tuple[list[Any], list[tuple[int, str, str]]]:
    count = itertools.count()
    batch = parse(body.encode(), TERMS, lambda: f"made-{next(count)}", lines=lines)
    return batch.messages, [(item.index, item.code, item.message) for item in batch.rejected]


@given(events=st.lists(NATIVE, min_size=1, max_size=5), escaped=st.booleans())
@example(events=[{"customer_id": "c-1", "event": "a\x7fb"}, {"customer_id": "c-1\x85"}], escaped=False)
@example(events=[{**PLAIN, "properties": {"text": "x" * 40_000}}], escaped=True)
def test_an_array_and_the_same_events_line_by_line_are_taken_alike(
    events: list[dict[str, Any]], escaped: bool
) -> None:
    # Without blanks of its own, so that the short way may know that there are none in any text either.
    texts = [json.dumps(event, ensure_ascii=escaped, separators=(",", ":")) for event in events]
    one_by_one = outcome("\n".join(texts), lines=True)
    assert outcome(f"[{','.join(texts)}]", lines=False) == one_by_one
    if len(texts) == 1:
        assert outcome(texts[0], lines=False) == one_by_one


@pytest.mark.parametrize(
    "unlike",
    [
        {"customer_id": 17},
        {"customer_id": ""},
        {"event_id": None},
        {"event": "x" * 201},
        {"occurred_at": "2026-03-01T10:00:00"},
        {"occurred_on": "2026-03-01"},
        {"properties": {"nested": {"deeper": {}}}},
        {"unknown": 1},
    ],
)
def test_what_wants_a_closer_look_is_not_plain(unlike: dict[str, Any]) -> None:
    assert read_plain(json.dumps([PLAIN]).encode()) is not None
    assert read_plain(json.dumps([PLAIN, {**PLAIN, **unlike}]).encode()) is None


def test_too_many_plain_events_are_refused_as_a_whole() -> None:
    with pytest.raises(TooLarge):
        read_plain(json.dumps([PLAIN] * 1001).encode())


@pytest.mark.parametrize("text", ["\\u0000", "\x7f", "é", "\\n"])
def test_a_body_that_could_hold_a_control_character_is_looked_at_event_by_event(text: str) -> None:
    assert are_surely_printable(b'{"customer_id": "c-1"}')
    assert not are_surely_printable(f'{{"customer_id": "c{text}"}}'.encode())
