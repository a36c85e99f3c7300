"""What the tests of every dialect share: a moment, a reading, and a look at what came out."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from services.ingest.batch import Batch
from services.ingest.dialects.mapping import Envelope, ParseItem, read_items, reading_of
from services.ingest.dialects.paths import take_apart
from services.ingest.limits import Terms
from shared.clock import to_us
from shared.config import DEFAULT_CUSTOMER_PATHS
from shared.events import Event, Message, ProfileChanged, decode

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = Terms(product="reserve", now_us=to_us(NOW), late_window_us=35 * 86_400_000_000)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def ago(**duration: float) -> str:
    """An instant before NOW as SDKs write it."""
    return (NOW - timedelta(**duration)).isoformat().replace("+00:00", "Z")


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def read(
    envelope: Envelope,
    parse: ParseItem,
    *,
    paths: tuple[str, ...] = DEFAULT_CUSTOMER_PATHS,
    may_tell_profiles: bool = True,
) -> Batch:
    reading = reading_of(
        envelope,
        terms=TERMS,
        paths=take_apart(paths),
        make_id=lambda: "made",
        may_tell_profiles=may_tell_profiles,
    )
    return read_items(envelope, parse, reading)


def messages(batch: Batch) -> list[Message]:
    return [decode(record.value) for record in batch.messages]


def only_event(batch: Batch) -> Event:
    assert not batch.rejected, batch.rejected
    [event] = messages(batch)
    assert isinstance(event, Event)
    return event


def only_profile(batch: Batch) -> ProfileChanged:
    assert not batch.rejected, batch.rejected
    [changed] = messages(batch)
    assert isinstance(changed, ProfileChanged)
    return changed


def only_refusal(batch: Batch) -> tuple[str, str]:
    assert not batch.messages
    [rejection] = batch.rejected
    return rejection.code, rejection.message
