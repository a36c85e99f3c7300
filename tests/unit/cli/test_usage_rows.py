"""A row becomes a use, or a reason why not, by the same limits as over HTTP."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from services.commands.tables import Rejections, Table
from services.commands.usage_rows import Use, uses
from shared.clock import to_us

NOW_US = to_us(datetime(2026, 3, 10, tzinfo=UTC))


def read(directory: Path, text: str) -> tuple[list[Use], list[str]]:
    path = directory / "events"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    told: list[str] = []
    found = uses(Table(str(path)), Rejections(told.append), product="p", now_us=NOW_US)
    return list(found), told


def test_a_date_alone_is_a_usage_day_and_extra_columns_are_properties(tmp_path: Path) -> None:
    (use,), _ = read(tmp_path, "customer_id,date,visitors,note\nc-1,2026-03-02,35,\n")
    assert (use.customer_id, use.occurred_us, use.occurred_on) == ("c-1", None, date(2026, 3, 2).toordinal())
    assert (use.event, use.properties) == ("used", {"visitors": "35"})


def test_an_instant_keeps_its_offset(tmp_path: Path) -> None:
    (use,), _ = read(tmp_path, "customer_id,occurred_at,event\nc-1,2026-03-02T18:30:00+09:00,login\n")
    assert use.occurred_us == to_us(datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
    assert use.event == "login"


def test_ndjson_takes_properties_as_they_are(tmp_path: Path) -> None:
    row = '{"customer_id": 17, "occurred_at": "2026-03-02", "properties": {"n": 1}, "plan": "gold"}'
    (use,), _ = read(tmp_path, row)
    assert (use.customer_id, use.properties) == ("17", {"n": 1, "plan": "gold"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",2026-03-02", "invalid: customer_id is missing"),
        ("c,", "invalid: occurred_at is missing"),
        ("c,2026-02-30", "invalid: '2026-02-30' is no date"),
        ("c,yesterday", "invalid: 'yesterday' is no instant"),
        ("c,2026-03-02T10:00:00", "invalid: occurred_at has no offset"),
        ("c,2199-01-01", "in_future"),
        ("c,2199-01-01T00:00:00Z", "in_future"),
        ("c,1999-12-31", "too_old"),
        (f"{'c' * 201},2026-03-02", "invalid: customer_id has more than 200 characters"),
        ("c\udce9,2026-03-02", "not_parseable: neither UTF-8 nor CP932"),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    found, told = read(tmp_path, f"customer_id,occurred_at\n{row}\nc-2,2026-03-02\n")
    assert [use.customer_id for use in found] == ["c-2"]
    assert len(told) == 1
    assert told[0].startswith(f"line 2: {reason}")
