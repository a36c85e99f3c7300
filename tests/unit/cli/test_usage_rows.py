"""A row becomes a use, or a reason why not, by the same limits as over HTTP."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.commands.tables import Rejections, Table
from services.commands.usage_rows import Use, UseColumns, use_parts, uses
from shared.clock import to_us
from shared.errors import SetupError

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


CELLS = {
    "customer_id": ("c-1", "c-2", " c-3 ", "", "c\x1f"),
    "occurred_at": ("2026-03-02T18:30:00+09:00", "2026-03-02", "2026-03-02T10:00:00", ""),
    "date": ("2026-03-02", "2026-03-03", "2026-02-30", "2199-01-01", "1999-12-31", ""),
    "event": ("used", "", " login", "e" * 201),
    "event_id": ("", "7", "\x7f"),
    "user_id": ("", "u"),
    "visitors": ("35", "", " "),
    "properties": ("{}", ""),
}
SHORT, LONG = "plan", "プラン"


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A file with a property column last; mostly with cells that mean something."""
    columns = ["customer_id", *draw(st.lists(st.sampled_from(list(CELLS)[1:]), unique=True, min_size=1))]
    rows = draw(
        st.lists(
            st.tuples(
                *(st.sampled_from(CELLS[name][: draw(st.sampled_from((1, 2, 9)))]) for name in columns)
            ),
            max_size=6,
        )
    )
    return "".join(",".join((*row, "x")) + "\n" for row in ([*columns], *rows)).replace(",x", f",{SHORT}", 1)


@given(tables())
def test_columns_mean_what_their_rows_mean(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """A heading beyond ASCII has all of a file read row by row."""
    directory = tmp_path_factory.mktemp("uses")
    by_row, told_by_row = outcome(directory, text.replace(SHORT, LONG, 1))
    by_column, told = outcome(directory, text)
    assert by_column == [use._replace(properties=_renamed(use.properties)) for use in by_row]
    assert told == told_by_row


def outcome(directory: Path, text: str) -> tuple[list[Use], list[str]]:
    """What was read and told, be it that the file is of no use."""
    try:
        return read(directory, text)
    except SetupError as error:
        return [], [error.message]


def _renamed(properties: dict[str, object]) -> dict[str, object]:
    return {SHORT if name == LONG else name: value for name, value in properties.items()}


def test_a_plain_file_comes_in_columns_and_a_row_refused_costs_its_block_alone(tmp_path: Path) -> None:
    rows = [f"c-{n % 7},2026-03-0{1 + n % 9},{n}" for n in range(10_000)]
    path = tmp_path / "events"
    path.write_text("\n".join(["customer_id,date,visitors", *rows, "c-1,nonsense,1"]), encoding="utf-8")
    told: list[str] = []
    parts = list(use_parts(Table(str(path)), Rejections(told.append), product="p", now_us=NOW_US))
    columns = [part for part in parts if isinstance(part, UseColumns)]
    assert len(columns) >= 2
    assert len(parts) - len(columns) + sum(len(part.customer_ids) for part in columns) == 10_000
    assert [line.split(":")[0] for line in told] == ["line 10002"]
