"""CSV as spreadsheets save it, row by row, each with its line; a bad row spoils no other. Pure."""

import csv
import difflib
import io
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from shared.errors import InvalidInput, NotParseable

LINES_PER_ROW_MAX = 20
_DELIMITERS = ",;\t"
BOM = b"\xef\xbb\xbf"


class Row(msgspec.Struct, frozen=True):
    """Cells by column, and the line on which the row starts (from 1, where the heading is).

    Cells that are missing at the end are empty. `error` says why the row cannot be taken.
    """

    line: int
    cells: Mapping[str, str]
    error: InvalidInput | None = None


def decoded_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text: UTF-8 with or without a byte order mark, or CP932, in which Excel in Japan saves.

    The first line that is not ASCII decides. Bytes that do not fit become lone surrogates, which
    `read_rows` finds; every kind of line end becomes "\\n".
    """
    return decoded_rest(line.removeprefix(BOM) if number == 0 else line for number, line in enumerate(lines))


def decoded_rest(lines: Iterable[bytes]) -> Iterator[str]:
    """The same for lines from the middle of a file, before which all is ASCII."""
    encoding = "ascii"
    for line in lines:
        if encoding == "ascii" and not line.isascii():
            encoding = _encoding_of(line)
        text = line.decode(encoding, "surrogateescape")
        if "\r" in text:
            yield from io.StringIO(text, newline=None)
        else:
            yield text


def read_rows(lines: Iterable[str], *, required: Sequence[str], known: Sequence[str]) -> Iterator[Row]:
    """The rows under a heading; blank ones are left out.

    `required` names columns without which the file makes no sense, alternatives as `a|b`; `known` are
    those that mean something. Raises NotParseable where the heading is of no use.
    """
    lines = iter(lines)
    heading = read_heading(next(lines, ""), required=required, known=known)
    yield from rows_under(heading, lines, line=2)


class Heading(msgspec.Struct, frozen=True):
    """The columns of a file, in order, and what stands between its cells."""

    names: Sequence[str]
    delimiter: str


def read_heading(text: str, *, required: Sequence[str], known: Sequence[str]) -> Heading:
    """The first line of a file; raises NotParseable where it is of no use."""
    if (error := _undecoded(text)) is not None:
        raise error
    delimiter = max(_DELIMITERS, key=text.count)
    names = [name.strip() for name in _cells(text, delimiter) or []]
    _check_heading(names, required, known)
    return Heading(names, delimiter)


def rows_under(heading: Heading, lines: Iterable[str], *, line: int) -> Iterator[Row]:
    """The rows in `lines`, of which the first one is the file's line `line`; blank ones are left out."""
    names, delimiter = heading.names, heading.delimiter
    ahead = _Lookahead(lines, line - 1)
    for text in ahead:
        begun = ahead.line
        row = _row(begun, names, _whole_row(text, ahead, delimiter, len(names)), delimiter)
        if row is not None:
            yield row


class _Lookahead:
    """Lines one by one, of which some can be looked at before they are taken; `line`: the last one taken."""

    def __init__(self, lines: Iterable[str], line: int) -> None:
        self.line = line
        self._lines = iter(lines)
        self._seen: deque[str] = deque()

    def __iter__(self) -> "_Lookahead":
        return self

    def __next__(self) -> str:
        text = self._seen.popleft() if self._seen else next(self._lines)
        self.line += 1
        return text

    def ahead(self, count: int) -> list[str]:
        """The next `count` lines or fewer, still to be taken."""
        while len(self._seen) < count and (text := next(self._lines, None)) is not None:
            self._seen.append(text)
        return list(islice(self._seen, count))


def _encoding_of(line: bytes) -> str:
    for encoding in ("utf-8", "cp932"):
        try:
            line.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "utf-8"


def _whole_row(text: str, lines: _Lookahead, delimiter: str, width: int) -> str:
    """`text`, with the lines after it where a quoted cell goes on in them.

    A stray quotation mark must not swallow the rest of the file, as it does for a CSV reader left
    alone: following lines belong to this row only if together they make a row of the right width.
    """
    if text.count('"') % 2 == 0:
        return text
    joined = text
    for count, following in enumerate(lines.ahead(LINES_PER_ROW_MAX - 1), 1):
        joined += following
        if joined.count('"') % 2 == 0:
            if len(_cells(joined, delimiter) or ()) != width:
                break
            for _ in range(count):
                next(lines)
            return joined
    return text


def _row(line: int, heading: Sequence[str], text: str, delimiter: str) -> Row | None:
    cells = _cells(text, delimiter)
    if cells is None:
        return Row(line, {}, NotParseable("a quotation mark is out of place"))
    if not any(cell.strip() for cell in cells):
        return None
    missing_count = len(heading) - len(cells)
    named = dict(zip(heading, cells + [""] * missing_count, strict=False))
    named.pop("", None)
    if missing_count < 0 and any(cell.strip() for cell in cells[len(heading) :]):
        return Row(line, named, NotParseable(f"{len(cells)} cells under {len(heading)} columns"))
    return Row(line, named, None if text.isascii() else _undecoded(text))


def _undecoded(text: str) -> InvalidInput | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return NotParseable("neither UTF-8 nor CP932 (Shift JIS); from Excel: save as CSV UTF-8")
    return None


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of one row, None where it is no CSV."""
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _check_heading(heading: Sequence[str], required: Sequence[str], known: Sequence[str]) -> None:
    for column in required:
        alternatives = column.split("|")
        if not any(name in heading for name in alternatives):
            close = difflib.get_close_matches(alternatives[0], heading, n=1)
            hint = f"is {close[0]!r} meant?" if close else f"known are {', '.join(known)}"
            raise NotParseable(f"the heading has no column {' or '.join(alternatives)}; {hint}")
    twice = next((name for name in heading if name and heading.count(name) > 1), None)
    if twice is not None:
        raise NotParseable(f"the heading has the column {twice[:80]!r} twice")
