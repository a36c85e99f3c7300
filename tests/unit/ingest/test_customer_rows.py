"""Customers from spreadsheets: encodings, delimiters, broken rows and where they are."""

import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import Batch
from services.ingest.customer_rows import parse_customer_row, parse_customers
from services.ingest.limits import CSV_LINES_MAX, Terms
from shared.clock import to_us
from shared.errors import InvalidInput, NotParseable, TooLarge
from shared.events import Calendar, Profile, ProfileChanged, decode

TERMS = Terms(
    product="reserve", now_us=to_us(datetime(2026, 3, 2, 9, 30, tzinfo=UTC)), late_window_us=0, backfill=True
)
HEADING = "customer_id,name,time_zone,closed_weekdays,rank\n"


def parsed(text: str | bytes) -> Batch:
    return parse_customers(text if isinstance(text, bytes) else text.encode(), TERMS)


def profiles(batch: Batch) -> dict[str, Profile]:
    found = [decode(message.value) for message in batch.messages]
    assert all(isinstance(changed, ProfileChanged) for changed in found)
    return {changed.customer_id: changed.profile for changed in found}  # type: ignore[union-attr]


def test_known_columns_are_fields_and_the_others_properties() -> None:
    batch = parsed(HEADING + "c-17,さくら,Asia/Tokyo,mon tue,A\n")
    assert profiles(batch) == {
        "c-17": Profile(
            name="さくら",
            time_zone="Asia/Tokyo",
            calendar=Calendar(closed_weekdays=(0, 1)),
            properties={"rank": "A"},
        )
    }
    assert (batch.profile_count, batch.event_count) == (1, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_files_as_excel_saves_them_in_japan_are_read(encoding: str) -> None:
    assert profiles(parsed((HEADING + "c-17,①髙橋食堂,,,\n").encode(encoding)))["c-17"].name == "①髙橋食堂"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_of_every_spreadsheet_are_read(delimiter: str, ending: str) -> None:
    text = (HEADING + "c-17,Sakura,,,\n").replace(",", delimiter).replace("\n", ending)
    assert list(profiles(parsed(text))) == ["c-17"]


def test_a_cell_in_quotes_may_hold_delimiters_and_line_ends() -> None:
    batch = parsed(HEADING + 'c-1,Sakura,,,"a, ""b""\nc"\nc-2,,,,\n')
    assert profiles(batch)["c-1"].properties == {"rank": 'a, "b"\nc'}
    assert list(profiles(batch)) == ["c-1", "c-2"]


def test_a_broken_row_on_line_73_is_told_and_the_rest_imported() -> None:
    rows = [f"c-{line},x,Asia/Tokyo,,\n" for line in range(2, 101)]
    rows[73 - 2] = "c-73,x,Asia/Edo,,\n"
    batch = parsed(HEADING + "".join(rows))
    assert len(batch.messages) == 98
    [rejection] = batch.rejected
    assert (rejection.index, rejection.customer_id) == (71, "c-73")
    assert rejection.message.startswith("line 73: time_zone: 'Asia/Edo'")


def test_a_stray_quotation_mark_does_not_swallow_the_file() -> None:
    batch = parsed(HEADING + 'c-2,"Sakura,,,\nc-3,,,,\nc-4,,,,\n')
    assert list(profiles(batch)) == ["c-3", "c-4"]
    assert batch.rejected[0].message.startswith("line 2: ")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",Sakura,,,", "line 2: customer_id is empty"),
        ("c-1,a,,,b,c", "line 2: 6 cells under 5 columns"),
        ("c-1,,,moonday,", "line 2: closed_weekdays: "),
        ("c-1,,,mon tue wed thu fri sat sun,", "line 2: closed_weekdays: every weekday is closed"),
    ],
)
def test_bad_rows_are_told_with_their_line(row: str, said: str) -> None:
    [rejection] = parsed(HEADING + row + "\n").rejected
    assert rejection.message.startswith(said)


def test_blank_rows_and_missing_cells_at_the_end_are_no_error() -> None:
    batch = parsed(HEADING + "c-1\n,,,,\n\nc-2,Sakura\n")
    assert (list(profiles(batch)), batch.rejected) == (["c-1", "c-2"], [])


@pytest.mark.parametrize(
    "body",
    [b"", b"name\nSakura\n", b"customer_id,name,name\n", b'"customer_id\n', b"\x81\xff\xfe customer_id\n"],
)
def test_a_file_without_a_usable_heading_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(NotParseable):
        parsed(body)


def test_more_lines_than_are_taken_at_once_are_refused_as_a_whole() -> None:
    with pytest.raises(TooLarge):
        parsed(HEADING + "\n" * CSV_LINES_MAX)


def test_a_row_is_read_with_a_spreadsheet_s_habits() -> None:
    row = {
        "customer_id": " 17 ",
        "day_starts_at": "5:00",
        "mrr": "12000",
        "renewal_on": "2027/1/20",
        "phone": "",
    }
    assert parse_customer_row(row) == (
        "17",
        Profile(day_starts_at="05:00", mrr=12000.0, renewal_on=date(2027, 1, 20)),
    )


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(rows=st.lists(st.lists(CELL, min_size=1, max_size=6), max_size=8))
def test_every_row_written_is_accepted_or_refused(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    batch = parsed(HEADING + written.getvalue())
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    # A cell of many line ends may be cut, which makes more rows of it and never fewer.
    assert len(batch.messages) + len(batch.rejected) >= len(filled)


@given(body=st.binary(max_size=300))
def test_any_bytes_under_a_heading_are_read_or_refused(body: bytes) -> None:
    try:
        batch = parsed(HEADING.encode() + body)
    except InvalidInput as error:
        assert isinstance(error, NotParseable)  # noqa: PT017
    else:
        assert all(item.message.startswith("line ") for item in batch.rejected)
