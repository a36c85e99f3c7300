"""Rows of a CSV or NDJSON file, plain or gzipped or on standard input, each with its line number."""

import gzip
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from services.commands.csv_blocks import BLOCK_BYTES, Block, lines_of, read_blocks
from shared import csv_rows
from shared.csv_rows import decoded_lines
from shared.errors import NotParseable, SetupError

SHOWN_PER_REASON_MAX = 5

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
        self, rejected: Rejections, *, required: Sequence[str], known: Sequence[str]
    ) -> Iterator[tuple[int, Row]]:
        """Every readable row with its line number; otherwise as `parts`."""
        for part in self.parts(rejected, required=required, known=known):
            if isinstance(part, Block):
                yield from part.rows()
            else:
                yield part

    def parts(
        self, rejected: Rejections, *, required: Sequence[str], known: Sequence[str]
    ) -> Iterator[Block | tuple[int, Row]]:
        """Every readable row, as one of a block where it is plain, else by itself with its line number; the
        others go to `rejected` and the rest goes on.

        `required` names columns without which a CSV makes no sense, alternatives as `a|b`.
        Raises SetupError when the file as a whole cannot be read.
        """
        try:
            blocks = _blocks(self._raw)
            first = next(blocks, b"")
            blocks = chain((first,), blocks)
            if next(decoded_lines(lines_of((first,))), "").lstrip().startswith("{"):
                yield from _json_rows(decoded_lines(lines_of(blocks)), rejected)
            else:
                self.is_csv = True
                yield from _csv_parts(read_blocks(blocks, required=required, known=known), rejected)
        except NotParseable as error:
            raise SetupError(f"{self.name}: {error.message}") from error
        except (OSError, EOFError) as error:
            raise SetupError(f"cannot read {self.name}: {error}") from error
        finally:
            self._raw.close()


def _blocks(raw: io.BufferedReader) -> Iterator[bytes]:
    """Whole lines, many at a time."""
    is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
    file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_gzip else raw
    while block := file.read(BLOCK_BYTES):
        yield block if block.endswith(b"\n") else block + file.readline()


def _json_rows(lines: Iterable[str], rejected: Rejections) -> Iterator[tuple[int, Row]]:
    decode = msgspec.json.Decoder().decode
    for number, text in enumerate(lines, 1):
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


def _csv_parts(
    parts: Iterable[Block | csv_rows.Row], rejected: Rejections
) -> Iterator[Block | tuple[int, Row]]:
    for part in parts:
        if isinstance(part, Block):
            yield part
        elif part.error is None:
            yield part.line, part.cells
        else:
            rejected.add(part.line, part.error.code, part.error.message)
