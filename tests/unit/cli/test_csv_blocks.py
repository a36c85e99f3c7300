"""Whatever a file holds, in blocks it is read as row by row: the same cells, lines and refusals."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from services.commands.csv_blocks import BLOCK_BYTES, Block, read_blocks
from shared.csv_rows import Row, decoded_lines, read_rows
from shared.errors import NotParseable

REQUIRED = KNOWN = ("id",)

PLAIN_ROWS = st.lists(
    st.tuples(st.text("abc 1-:", max_size=6), st.text("xyz.+", max_size=3)).map(",".join), max_size=20
)
UNUSUAL = (
    *("", " , ", ",,", "1", "1,2,", "1,2,3", '1,"2', '3"', '1,"2,3"', "\r", "1,2\r", "1\t2", "1;2", "1,\0"),
    *("鮨,2", "\ufeff1,2", "\udce9,2", "1,\x85", "1,\u2028", f"1,{'2' * 200_000}"),
)
UNUSUAL_ROWS = st.lists(st.sampled_from(UNUSUAL), max_size=4)
HEADINGS = st.sampled_from(
    ("id,n", "id,n\r", "id;n", "id\tn", " id , n", '"id",n', "id,", "id,,", "id,鮨", "n", "")
)

Read = list[tuple[int, Mapping[str, str], str | None]]


def in_rows(lines: Sequence[bytes]) -> Read:
    """The long way, as ingest reads a body of customers."""
    return [_row(row) for row in read_rows(decoded_lines(lines), required=REQUIRED, known=KNOWN)]


def in_blocks(blocks: Sequence[bytes]) -> Read:
    found: Read = []
    for part in read_blocks(blocks, required=REQUIRED, known=KNOWN):
        found += (
            [(line, cells, None) for line, cells in part.rows()] if isinstance(part, Block) else [_row(part)]
        )
    return found


def _row(row: Row) -> tuple[int, Mapping[str, str], str | None]:
    return row.line, row.cells, None if row.error is None else row.error.message


def outcome(read: Callable[[], Read]) -> Read | str:
    """What was read, or why the file is of no use."""
    try:
        return read()
    except NotParseable as error:
        return error.message


@st.composite
def files(draw: st.DrawFn) -> list[bytes]:
    """The lines of a file: mostly plain, with some that are not."""
    rows = draw(PLAIN_ROWS) + draw(UNUSUAL_ROWS) + draw(PLAIN_ROWS)
    end = draw(st.sampled_from(("\n", "\r\n")))
    text = end.join([draw(HEADINGS), *rows]) + draw(st.sampled_from(("", end, "\r")))
    mark = draw(st.sampled_from((b"", b"\xef\xbb\xbf")))
    return list(io.BytesIO(mark + text.encode("utf-8", "surrogateescape")))


def blocked(lines: Sequence[bytes], line_count: int) -> Iterator[bytes]:
    for begin in range(0, len(lines), line_count):
        yield b"".join(lines[begin : begin + line_count])


@given(files(), st.integers(1, 12))
@example([b"id,n\n", b"1,2\n", b"\n"], 2)
@example([b"id,n\n", b"1,2\n", b"3,4"], 1)
def test_blocks_hold_what_rows_hold(lines: list[bytes], line_count: int) -> None:
    blocks = list(blocked(lines, line_count))
    assert outcome(lambda: in_blocks(blocks)) == outcome(lambda: in_rows(lines))


def test_a_plain_file_is_read_in_blocks_alone() -> None:
    lines = [b"id,n\n", *(b"c-%d,2026-03-02\r\n" % n for n in range(100))]
    parts = list(read_blocks(blocked(lines, 10), required=REQUIRED, known=KNOWN))
    assert all(isinstance(part, Block) for part in parts)
    assert in_blocks(list(blocked(lines, 10))) == in_rows(lines)


def test_a_cell_too_long_for_the_reader_of_rows_is_too_long_in_a_block() -> None:
    line = b"1," + b"2" * (2 * BLOCK_BYTES) + b"\n"
    assert in_blocks([b"id,n\n" + line]) == in_rows([b"id,n\n", line])
