"""Paths to the customer in a foreign event."""

from typing import Any

import pytest

from services.ingest.dialects.paths import Found, find_customer, take_apart
from shared.config import DEFAULT_CUSTOMER_PATHS, check_path


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"groupId": "g", "userId": "u"}, Found("g", "groupId")),
        ({"context": {"groupId": "g"}, "userId": "u"}, Found("g", "context.groupId")),
        (
            {"properties": {"$groups": {"company": "g"}}, "distinct_id": "u"},
            Found("g", "properties.$groups.*"),
        ),
        ({"properties": {"$groups": {}}, "distinct_id": "u"}, Found("u", "distinct_id")),
        ({"properties": {"accountId": 7}, "userId": "u"}, Found(7, "properties.accountId")),
        ({"subject": "s", "userId": "u"}, Found("s", "subject")),
        ({"groupId": "", "userId": "u"}, Found("u", "userId")),
        ({"groupId": None, "context": "none", "userId": "u"}, Found("u", "userId")),
        ({"anonymousId": "a"}, None),
        ({}, None),
    ],
)
def test_the_first_path_that_is_filled_wins(item: dict[str, Any], found: Found | None) -> None:
    assert find_customer(item, take_apart(DEFAULT_CUSTOMER_PATHS)) == found


def test_only_the_last_resort_names_the_person() -> None:
    assert Found("u", "userId").is_user
    assert Found("u", "distinct_id").is_user
    assert not Found("g", "groupId").is_user


@pytest.mark.parametrize("path", ["", ".", "a.", "*.a", "a.*.b", "a" * 201])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        check_path(path)
