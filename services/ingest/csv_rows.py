"""CSV as spreadsheets save it, row by row, each with its line; a bad row spoils no other. Pure."""

import csv
import io
from collections.abc import Iterator, Mapping

import msgspec

from shared.errors import InvalidInput, NotParseable, TooLarge

LINES_MAX = 20_000
LINES_PER_ROW_MAX = 20
_DELIMITERS = ",;\t"


class Row(msgspec.Struct, frozen=True):
    """Cells by column, and the line on which the row starts (from 1, where the heading is)."""

    line: int
    cells: Mapping[str, str]
    error: InvalidInput | None = None


def decode_text(body: bytes) -> str:
    """UTF-8 with or without a byte order mark, else CP932, in which Excel in Japan saves."""
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NotParseable("the file is neither UTF-8 nor CP932 (Shift JIS); save it as CSV UTF-8")


def read_rows(text: str, *, required: str) -> Iterator[Row]:
    """The rows under a heading that has the column `required`; blank rows are left out.

    A row with too many cells or a stray quotation mark carries its error. Raises NotParseable where
    the heading itself is of no use, TooLarge for more lines than are taken at once.
    """
    lines = list(io.StringIO(text, newline=None))
    if len(lines) > LINES_MAX:
        raise TooLarge(f"{LINES_MAX} lines at the most in a body; send it in parts")
    delimiter = max(_DELIMITERS, key=lines[0].count) if lines else ","
    heading = _heading(_cells(lines[0], delimiter) if lines else None, required)
    at = 1
    while at < len(lines):
        count = _lines_of_row(lines, at, delimiter, len(heading))
        row = _row(at + 1, heading, _cells("".join(lines[at : at + count]), delimiter))
        if row is not None:
            yield row
        at += count


def _lines_of_row(lines: list[str], at: int, delimiter: str, width: int) -> int:
    """How many lines the row starting at `at` takes: more than one where a quoted cell goes on.

    A stray quotation mark must not swallow the rest of the file, so further lines belong to the row
    only if they make it a whole one.
    """
    joined = ""
    for count, line in enumerate(lines[at : at + LINES_PER_ROW_MAX], 1):
        joined += line
        if joined.count('"') % 2 == 0:
            return count if count == 1 or len(_cells(joined, delimiter) or ()) == width else 1
    return 1


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of one row, None where it is no CSV."""
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _heading(cells: list[str] | None, required: str) -> list[str]:
    names = [cell.strip() for cell in cells or []]
    if required not in names:
        raise NotParseable(f"the heading has no column {required!r}")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise NotParseable(f"the heading has the column {twice[:80]!r} twice")
    return names


def _row(line: int, heading: list[str], cells: list[str] | None) -> Row | None:
    if cells is None:
        return Row(line, {}, NotParseable("a quotation mark is out of place"))
    if not any(cell.strip() for cell in cells):
        return None
    named = {name: cell for name, cell in zip(heading, cells, strict=False) if name}
    if any(cell.strip() for cell in cells[len(heading) :]):
        return Row(line, named, NotParseable(f"{len(cells)} cells under {len(heading)} columns"))
    return Row(line, named)
