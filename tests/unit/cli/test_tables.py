"""Rows are read line by line, and a broken one spoils no other."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest

from services.commands.tables import SHOWN_PER_REASON_MAX, Rejections, Table
from shared.errors import SetupError


def read(
    path: Path, required: Iterable[str] = ("id",)
) -> tuple[list[tuple[int, dict[str, object]]], list[str]]:
    told: list[str] = []
    rows = Table(str(path)).rows(Rejections(told.append), required=required, known=("id", "name"))
    return [(line, dict(row)) for line, row in rows], told


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_seen_in_the_heading(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"id{delimiter}name\n1{delimiter}A\n", encoding="utf-8")
    assert read(path) == ([(2, {"id": "1", "name": "A"})], [])


def test_gzip_and_a_byte_order_mark_are_seen_in_the_bytes_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(gzip.compress("\ufeffid,name\n1,鮨\n".encode()))
    assert read(path) == ([(2, {"id": "1", "name": "鮨"})], [])


def test_a_stray_quotation_mark_costs_its_own_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,name\n1,"A\n2,B\n3,C\n', encoding="utf-8")
    rows, told = read(path)
    assert [line for line, _ in rows] == [3, 4]
    assert told == ["line 2: not_parseable: a quotation mark is out of place"]


def test_a_quoted_field_may_hold_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,name\n1,"A\nB"\n2,C\n', encoding="utf-8")
    assert read(path) == ([(2, {"id": "1", "name": "A\nB"}), (4, {"id": "2", "name": "C"})], [])


def test_a_row_with_more_cells_is_told_and_one_with_fewer_has_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,name\n1,A,x\n2\n3,C,\n\n , \n", encoding="utf-8")
    rows, told = read(path)
    assert rows == [(3, {"id": "2", "name": ""}), (4, {"id": "3", "name": "C"})]
    assert told == ["line 2: not_parseable: 3 cells under 2 columns"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_files_as_excel_saves_them_in_japan_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,name\r\n1,①髙橋食堂\r\n".encode(encoding))
    assert read(path) == ([(2, {"id": "1", "name": "①髙橋食堂"})], [])


def test_a_column_that_stands_there_twice_is_one_line_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,name,name\n", encoding="utf-8")
    with pytest.raises(SetupError, match=r"t\.csv: the heading has the column 'name' twice"):
        read(path)


def test_ndjson_is_seen_by_its_first_character(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text('{"id": 1}\n\nnonsense\n[]\n{"id": 2}\n', encoding="utf-8")
    rows, told = read(path)
    assert rows == [(1, {"id": 1}), (5, {"id": 2})]
    assert [line.split(":")[0] for line in told] == ["line 3", "line 4"]


def test_a_missing_column_is_told_with_what_was_probably_meant(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("customer,occured_at\n", encoding="utf-8")
    with pytest.raises(SetupError, match="no column occurred_at or date; is 'occured_at' meant"):
        read(path, ("occurred_at|date",))


def test_a_cut_off_gzip_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(b"id,name\n" + b"1,A\n" * 100_000)[:200])
    with pytest.raises(SetupError, match="cannot read"):
        read(path)


def test_of_each_reason_only_the_first_few_are_told_and_all_are_counted() -> None:
    told: list[str] = []
    rejected = Rejections(told.append)
    for line in range(100):
        rejected.add(line, "invalid", "customer_id is missing")
    rejected.add(100, "in_future", "2199")
    assert len(told) == SHOWN_PER_REASON_MAX + 1 + 1
    assert rejected.summary() == "101 (100 invalid, 1 in_future)"
