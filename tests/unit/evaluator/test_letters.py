"""A record's key names its customer, or nobody."""

import pytest

from services.evaluator.letters import customer_of
from shared.events import CUSTOMER_ID_CHARS_MAX, record_key


@pytest.mark.parametrize("customer_id", ["a", "a/b", "店-1", "x" * CUSTOMER_ID_CHARS_MAX])
def test_a_key_names_the_customer_that_it_was_made_of(customer_id: str) -> None:
    assert customer_of(record_key("p", customer_id)) == ("p", customer_id)


@pytest.mark.parametrize(
    "key", [None, b"", b"p", b"p/", b"p/a\x00", b"p/\xff", b"p/" + b"x" * (CUSTOMER_ID_CHARS_MAX + 1)]
)
def test_a_key_that_no_event_may_have_names_nobody(key: bytes | None) -> None:
    assert customer_of(key) is None
