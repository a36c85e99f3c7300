"""Dead letters: what is kept of an item refused."""

import msgspec

from services.ingest.batch import PAYLOAD_BYTES_MAX, Rejection, reject
from services.ingest.dead_letters import dead_letter, dead_letter_records
from shared.errors import InvalidInput
from shared.events import DeadLetter, record_key

REJECTION = Rejection(index=3, code="invalid", message="no", customer_id="c-17", payload='{"a": 1}')


def letter(rejection: Rejection = REJECTION, *, now_us: int = 5) -> DeadLetter:
    return dead_letter(rejection, product="reserve", origin="http:/v1/events", now_us=now_us)


def test_a_letter_tells_reason_origin_and_payload() -> None:
    kept = letter()
    assert (kept.reason, kept.message, kept.origin) == ("invalid", "no", "http:/v1/events")
    assert (kept.customer_id, kept.payload, kept.rejected_us) == ("c-17", '{"a": 1}', 5)


def test_the_same_item_refused_again_has_the_same_id() -> None:
    assert letter(now_us=9).id == letter().id


def test_another_item_has_another_id() -> None:
    other = msgspec.structs.replace(REJECTION, payload='{"a": 2}')
    assert letter(other).id != letter().id


def test_a_letter_lies_where_its_customer_does() -> None:
    [record] = dead_letter_records([REJECTION], product="reserve", origin="http:/v1/events", now_us=5)
    assert record.key == record_key("reserve", "c-17")
    assert msgspec.json.decode(record.value, type=DeadLetter) == letter()


def test_a_payload_is_kept_within_bounds_whatever_its_bytes() -> None:
    rejection = reject(0, InvalidInput("no"), b"\xff" * (PAYLOAD_BYTES_MAX + 10), "c\ud800")
    assert rejection.payload == "\\xff" * PAYLOAD_BYTES_MAX
    assert rejection.customer_id is None
    [record] = dead_letter_records([rejection], product="reserve", origin="http:/v1/events", now_us=5)
    assert record.key == record_key("reserve", "")
