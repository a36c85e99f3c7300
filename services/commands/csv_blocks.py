"""CSV in blocks: what is plain is read column by column, anything else row by row, and means the same.

A file of uses is mostly digits, dates and ids, millions of lines of them. Plain is a block of printable ASCII
without a quotation mark, whose every line has a cell for every column.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from shared.csv_rows import (
    BOM,
    Heading,
    Row,
    decoded_lines,
    decoded_rest,
    read_heading,
    read_rows,
    rows_under,
)

BLOCK_BYTES = 1 << 16
_PLAIN_BYTES_MAX = 2 * BLOCK_BYTES
"""No cell of a block so long is one that the reader of rows refuses for its length."""

_PRINTABLE = set(range(0x20, 0x7F)) - {ord('"')}
_UNUSUAL = bytes(set(range(256)) - _PRINTABLE - {ord("\n")})
_END = "\0"


class Block(msgspec.Struct, frozen=True):
    """Rows of as many cells each: `columns` by name, and the line of the first row."""

    line: int
    columns: Mapping[str, Sequence[str]]
    row_count: int

    def rows(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """The same row by row, each with its line; blank ones are left out."""
        names = tuple(self.columns)
        for line, cells in enumerate(zip(*self.columns.values(), strict=True), self.line):
            if any(cell.strip() for cell in cells):
                yield line, dict(zip(names, cells, strict=True))


def read_blocks(
    blocks: Iterable[bytes], *, required: Sequence[str], known: Sequence[str]
) -> Iterator[Block | Row]:
    """What `read_rows` would read of whole lines: in blocks as long as they are plain, then in rows.

    What once has quotation marks or names beyond ASCII mostly goes on so, and a quoted cell may reach into
    the next block: from there on it is read row by row to the end. Raises NotParseable.
    """
    following = iter(blocks)
    first = next(following, b"")
    top, _, block = first.removeprefix(BOM).partition(b"\n")
    top = top.removesuffix(b"\r")
    if not top.isascii() or b"\r" in top:
        lines = decoded_lines(lines_of(chain((first,), following)))
        yield from read_rows(lines, required=required, known=known)
        return
    heading, line = read_heading(top.decode("ascii"), required=required, known=known), 2
    while (found := _plain_block(block, heading, line)) is not None:
        if found.row_count:
            yield found
        line += found.row_count
        if not (block := next(following, b"")):
            return
    rest = decoded_rest(lines_of(chain((block,), following)))
    yield from rows_under(heading, rest, line=line)


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of blocks of whole lines."""
    for block in blocks:
        yield from io.BytesIO(block)


def _plain_block(block: bytes, heading: Heading, line: int) -> Block | None:
    """The block in columns; None where it has to be read row by row."""
    block = block.replace(b"\r\n", b"\n")
    unusual = _UNUSUAL.replace(heading.delimiter.encode(), b"")
    # Several times as quick as looking for the first unusual byte with a regular expression.
    if len(block) > _PLAIN_BYTES_MAX or len(block.translate(None, unusual)) < len(block):
        return None
    if block and not block.endswith(b"\n"):
        block += b"\n"
    return _in_columns(block.decode("ascii"), heading, line)


def _in_columns(text: str, heading: Heading, line: int) -> Block | None:
    """Takes all rows apart at once; None if one of them has more or fewer cells than the heading.

    A mark that no cell can hold is put where each row ends, as a cell of its own. Where the marks alone make
    up the column after the last, each row has its full width: a third of the time that the csv module takes
    for rows, which then have to be turned into columns.
    """
    delimiter, names, width = heading.delimiter, heading.names, len(heading.names)
    row_count = text.count("\n")
    cells = text.replace("\n", f"{delimiter}{_END}{delimiter}").split(delimiter)
    cells.pop()  # what follows the last row
    if cells[width :: width + 1].count(_END) != row_count or "" in names:
        return None
    return Block(line, {name: cells[n :: width + 1] for n, name in enumerate(names)}, row_count)
