"""One reader of CSV: encodings, line ends, and rows that are no rows."""

import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.csv_rows import LINES_PER_ROW_MAX, Row, decoded_lines, read_rows
from shared.errors import NotParseable


def lines_of(body: bytes) -> list[str]:
    return list(decoded_lines(io.BytesIO(body)))


def rows(body: bytes, required: tuple[str, ...] = ("id",)) -> list[Row]:
    return list(read_rows(decoded_lines(io.BytesIO(body)), required=required, known=("id", "name")))


def cells(found: Iterable[Row]) -> list[dict[str, str]]:
    return [dict(row.cells) for row in found if row.error is None]


def test_the_first_line_that_is_not_ascii_decides_the_encoding() -> None:
    assert lines_of("id,name\n1,食堂\n".encode("cp932")) == ["id,name\n", "1,食堂\n"]
    assert lines_of("\ufeffid\n1,食堂\n".encode()) == ["id\n", "1,食堂\n"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_a_damaged_line_spoils_no_other(encoding: str) -> None:
    good = "食堂".encode(encoding)
    found = rows(b"id,name\n1," + good + b"\n2,\x81 x\n3," + good + b"\n")
    assert cells(found) == [{"id": "1", "name": "食堂"}, {"id": "3", "name": "食堂"}]
    [damaged] = [row for row in found if row.error is not None]
    assert (damaged.line, str(damaged.error)[:28]) == (3, "neither UTF-8 nor CP932 (Shi")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_one(ending: bytes) -> None:
    found = rows(ending.join((b"id,name", b'1,"a', b'b"', b"2,c", b"")))
    assert cells(found) == [{"id": "1", "name": "a\nb"}, {"id": "2", "name": "c"}]
    assert [row.line for row in found] == [2, 4]


def test_a_cell_does_not_go_on_for_ever() -> None:
    body = b'id,name\n1,"' + b"x\n" * LINES_PER_ROW_MAX + b'"\n2,b\n'
    found = rows(body)
    assert found[0].error is not None
    assert found[0].line == 2
    assert {"id": "2", "name": "b"} in cells(found)


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        (b"", "no column id; known are id, name"),
        (b"nome,x\n", "no column id"),
        (b"customer,idd\n", "no column id; is 'idd' meant"),
        (b"id,a,a\n", "the column 'a' twice"),
        (b'"id\n', "no column id"),
        (b"id,\x81 x\n1,a\n", "neither UTF-8 nor CP932"),
    ],
)
def test_a_heading_of_no_use_is_refused_with_a_hint(heading: bytes, said: str) -> None:
    with pytest.raises(NotParseable, match=said):
        rows(heading)


def test_one_of_several_columns_is_enough() -> None:
    assert cells(rows(b"day\n1\n", required=("date|day",))) == [{"day": "1"}]


# A line end within a cell may come back as another, or cut the cell.
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)


@given(table=st.lists(st.tuples(CELL, CELL), max_size=5))
def test_what_a_spreadsheet_writes_is_read_back(table: list[tuple[str, str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([("id", "name"), *table])
    found = rows(written.getvalue().encode())
    assert [row.error for row in found if row.error is not None] == []
    filled = [row for row in table if any(cell.strip() for cell in row)]
    assert [(row.cells["id"], row.cells["name"]) for row in found] == filled
