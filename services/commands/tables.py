"""Rows of a CSV or NDJSON file, plain or gzipped or on standard input, each with its line number."""

import csv
import difflib
import gzip
import io
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from shared.errors import NotParseable, SetupError

SHOWN_PER_REASON_MAX = 5
LINES_PER_ROW_MAX = 20

Row = Mapping[str, Any]


class Rejections:
    """Lines that could not be taken: counted by reason, and the first few of each told."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._say = say

    def add(self, line: int, reason: str, message: str) -> None:
        self.counts[reason] += 1
        if self.counts[reason] <= SHOWN_PER_REASON_MAX:
            self._say(f"line {line}: {reason}: {message}")
        elif self.counts[reason] == SHOWN_PER_REASON_MAX + 1:
            self._say(f"more lines with {reason} follow; they are counted")

    @property
    def count(self) -> int:
        return self.counts.total()

    def summary(self) -> str:
        """`3 (2 invalid, 1 in_future)`; `0` when all was good."""
        if not self.counts:
            return "0"
        return f"{self.count:,} ({', '.join(f'{n:,} {reason}' for reason, n in self.counts.most_common())})"


class Table:
    """A file of rows. `position` of `size` bytes are read; `size` is 0 where nobody knows it.

    `is_csv` is known once the first row was asked for.
    """

    def __init__(self, name: str) -> None:
        """Opens `name`, `-` for standard input. Raises SetupError when it cannot be read."""
        self.name = name
        self.is_csv = False
        try:
            # Closed by rows(), when it has given the last one.
            self._raw = cast(io.BufferedReader, sys.stdin.buffer) if name == "-" else Path(name).open("rb")  # noqa: SIM115
            self.size = 0 if name == "-" else Path(name).stat().st_size
        except OSError as error:
            raise SetupError(f"cannot read {name}: {error.strerror}") from error

    @property
    def position(self) -> int:
        if not self.size:
            return 0
        return self.size if self._raw.closed else self._raw.tell()

    def rows(
        self, rejected: Rejections, *, required: Iterable[str], known: Iterable[str]
    ) -> Iterator[tuple[int, Row]]:
        """Every readable row with its line number; the others go to `rejected` and the rest goes on.

        `required` names columns without which a CSV makes no sense, alternatives as `a|b`.
        Raises SetupError when the file as a whole cannot be read.
        """
        try:
            lines = _text(self._raw)
            first = next(lines, "")
            if first.lstrip().startswith("{"):
                yield from _json_rows(first, lines, rejected)
            else:
                self.is_csv = True
                yield from _csv_rows(self.name, first, lines, rejected, required=required, known=known)
        except (OSError, EOFError) as error:
            raise SetupError(f"cannot read {self.name}: {error}") from error
        finally:
            self._raw.close()


def check_utf8(text: str, column: str) -> None:
    """Raises NotParseable where the file had bytes that are not UTF-8."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise NotParseable(f"{column} is not UTF-8 (from Excel: save as CSV UTF-8)")


def _text(raw: io.BufferedReader) -> Iterator[str]:
    is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
    plain = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_gzip else raw
    # A byte that is not UTF-8 becomes a lone surrogate here, and its row is rejected with its line.
    return io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _json_rows(first: str, lines: Iterator[str], rejected: Rejections) -> Iterator[tuple[int, Row]]:
    decode = msgspec.json.Decoder().decode
    for number, text in enumerate(_and_rest(first, lines), 1):
        if not text.strip():
            continue
        try:
            row = decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            rejected.add(number, "not_parseable", f"not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            rejected.add(number, "not_parseable", "a line is a JSON object")


def _csv_rows(
    name: str,
    first: str,
    lines: Iterator[str],
    rejected: Rejections,
    *,
    required: Iterable[str],
    known: Iterable[str],
) -> Iterator[tuple[int, Row]]:
    delimiter = max(",;\t", key=first.count)
    texts = _Lookahead(_and_rest(first, lines))
    header = [column.strip() for column in _fields(next(texts, ""), delimiter) or []]
    _check_header(name, header, required=required, known=known)
    for text in texts:
        line = texts.line
        row = _fields(_whole_row(text, texts, delimiter, len(header)), delimiter)
        if row is None:
            rejected.add(line, "not_parseable", "a quotation mark is out of place")
        elif len(row) == len(header):
            yield line, dict(zip(header, row, strict=True))
        elif row:
            rejected.add(line, "not_parseable", f"{len(row)} fields where the header has {len(header)}")


class _Lookahead:
    """Lines one by one, of which some can be looked at before they are taken; `line` counts from 1."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = 0
        self._lines = lines
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


def _whole_row(text: str, texts: _Lookahead, delimiter: str, width: int) -> str:
    """`text`, with the lines after it where a quoted field goes on in them.

    A stray quotation mark must not swallow the rest of the file, as it does for a CSV reader left
    alone: following lines belong to this row only if together they make a row of the right width.
    """
    if text.count('"') % 2 == 0:
        return text
    joined = text
    for count, following in enumerate(texts.ahead(LINES_PER_ROW_MAX - 1), 1):
        joined += following
        if joined.count('"') % 2 == 0:
            if len(_fields(joined, delimiter) or ()) != width:
                break
            for _ in range(count):
                next(texts)
            return joined
    return text


def _fields(text: str, delimiter: str) -> list[str] | None:
    """The fields of one row, None where it is no CSV."""
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _check_header(name: str, header: list[str], *, required: Iterable[str], known: Iterable[str]) -> None:
    for column in required:
        if not any(alternative in header for alternative in column.split("|")):
            wanted = column.replace("|", " or ")
            close = difflib.get_close_matches(column.split("|")[0], header, n=1)
            hint = f"; is {close[0]!r} meant?" if close else f"; known are {', '.join(known)}"
            raise SetupError(f"{name} has no column {wanted}{hint}")


def _and_rest(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines
