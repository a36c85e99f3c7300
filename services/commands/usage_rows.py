"""Uses of the product as read from a file: one row becomes one `Use`, or a reason why not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from services.commands.csv_blocks import Block
from services.commands.tables import Rejections, Row, Table
from services.ingest.limits import Terms, check_day, check_id, check_instant, check_name, instant_us
from shared.errors import InvalidInput

COLUMNS = ("customer_id", "occurred_at", "date", "event", "event_id", "user_id")
_WHENS = ("occurred_at", "date", "occurred_on")
_NOT_PROPERTIES = frozenset((*COLUMNS, "occurred_on", "properties"))


Occurred = tuple[int | None, int | None]
"""(microseconds, None) of an instant, (None, ordinal) of a bare day."""


class Use(NamedTuple):
    """One row. `occurred_us` (microseconds since the epoch) or `occurred_on` (ordinal of a usage day)."""

    line: int
    customer_id: str
    occurred_us: int | None
    occurred_on: int | None
    event: str
    event_id: str
    user_id: str
    properties: dict[str, Any]


class UseColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Many rows, column by column, the first one in `line`; what stands in them is as in `Use`.

    `occurred` as it was written: `moments` says what that means, for there are few days and many rows.
    """

    line: int
    customer_ids: Sequence[str]
    occurred: Sequence[str]
    moments: Mapping[str, Occurred]
    events: Sequence[str]
    event_ids: Sequence[str]
    user_ids: Sequence[str]
    properties: Mapping[str, Sequence[str]]

    def days(self) -> list[int] | None:
        """The usage day of each row; None where for some it depends on the customer's clock."""
        days = {text: day for text, (_, day) in self.moments.items() if day is not None}
        return [days[text] for text in self.occurred] if len(days) == len(self.moments) else None

    def each(self) -> Iterator[Use]:
        """Row by row."""
        rows = zip(
            self.customer_ids,
            self.occurred,
            self.events,
            self.event_ids,
            self.user_ids,
            *self.properties.values(),
            strict=True,
        )
        for line, (customer_id, text, event, event_id, user_id, *cells) in enumerate(rows, self.line):
            told = {name: cell for name, cell in zip(self.properties, cells, strict=True) if cell}
            yield Use(line, customer_id, *self.moments[text], event, event_id, user_id, told)


def uses(table: Table, rejected: Rejections, *, product: str, now_us: int) -> Iterator[Use]:
    """The uses in `table` in the file's order; what ingest would not take as history goes to `rejected`."""
    for part in use_parts(table, rejected, product=product, now_us=now_us):
        if isinstance(part, UseColumns):
            yield from part.each()
        else:
            yield part


def use_parts(table: Table, rejected: Rejections, *, product: str, now_us: int) -> Iterator[UseColumns | Use]:
    """The same, in columns where rows are plain and every one of them can be taken."""
    # Of history nothing is too late, so the late window says nothing here.
    reader = _Reader(Terms(product=product, now_us=now_us, late_window_us=0, backfill=True))
    required = ("customer_id", "occurred_at|date|occurred_on")
    for part in table.parts(rejected, required=required, known=COLUMNS):
        if isinstance(part, Block):
            columns = reader.columns(part)
            if columns is not None:
                yield columns
                continue
        for line, row in part.rows() if isinstance(part, Block) else (part,):
            try:
                yield reader.use(line, row)
            except InvalidInput as error:
                rejected.add(line, error.code, error.message)


class _Reader:
    """Reads rows; remembers what it has checked, for a file has few names and repeats them often."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._days: dict[object, Occurred] = {}
        self._names: dict[tuple[str, object], str] = {("event", None): "used", ("event", ""): "used"}

    def use(self, line: int, row: Row) -> Use:
        occurred_us, occurred_on = self._when(
            row.get("occurred_at") or row.get("date") or row.get("occurred_on")
        )
        return Use(
            line,
            self._name("customer_id", row.get("customer_id")),
            occurred_us,
            occurred_on,
            self._name("event", row.get("event")),
            _optional_id("event_id", row.get("event_id")),
            _optional_id("user_id", row.get("user_id")),
            _properties(row),
        )

    def columns(self, block: Block) -> UseColumns | None:
        """Each distinct cell is read once; None where some row has to be read, and refused, by itself."""
        when, *others = [name for name in _WHENS if name in block.columns]
        if others:
            return None  # which of them tells is a question of each row
        texts, known = block.columns[when], self._days
        try:
            return UseColumns(
                line=block.line,
                customer_ids=_column(block, "customer_id", self._name),
                occurred=texts,
                moments={text: known.get(text) or self._when(text) for text in set(texts)},
                events=_column(block, "event", self._name),
                event_ids=_column(block, "event_id", _optional_id),
                user_ids=_column(block, "user_id", _optional_id),
                properties={n: cells for n, cells in block.columns.items() if n not in _NOT_PROPERTIES},
            )
        except InvalidInput:
            return None

    def _name(self, column: str, value: object) -> str:
        name = self._names.get((column, value)) if isinstance(value, str | None) else None
        if name is None:
            name = _checked_name(column, value)
            if isinstance(value, str):
                self._names[column, value] = name
        return name

    def _when(self, value: object) -> Occurred:
        known = self._days.get(value) if isinstance(value, str) else None
        if known is not None:
            return known
        if value is None or value == "":
            raise InvalidInput("occurred_at is missing")
        if not isinstance(value, str):
            raise InvalidInput("occurred_at is not text")
        if len(value) == len("2026-03-02"):
            self._days[value] = None, self._day(value)
            return self._days[value]
        return self._instant(value), None

    def _day(self, text: str) -> int:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise InvalidInput(f"{_shown(text)} is no date such as 2026-03-02") from None
        check_day(day, self._terms)
        return day.toordinal()

    def _instant(self, text: str) -> int:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            message = f"{_shown(text)} is no instant such as 2026-03-02T18:30:00+09:00"
            raise InvalidInput(message) from None
        us = instant_us(at)
        check_instant(us, self._terms)
        return us


def _column(block: Block, name: str, read: Callable[[str, object], str]) -> Sequence[str]:
    if name not in block.columns:
        return [read(name, None)] * block.row_count
    cells = block.columns[name]
    meanings = {cell: read(name, cell) for cell in set(cells)}
    if all(cell == meaning for cell, meaning in meanings.items()):
        return cells  # as nearly always: nothing had to be trimmed
    return [meanings[cell] for cell in cells]


def _checked_name(column: str, value: object) -> str:
    if value is None or value == "":
        raise InvalidInput(f"{column} is missing")
    if column == "event":
        if not isinstance(value, str):
            raise InvalidInput("event is not text")
        return check_name(value, column)
    return check_id(value, column)


def _optional_id(column: str, value: object) -> str:
    return "" if value is None or value == "" else _checked_name(column, value)


def _properties(row: Row) -> dict[str, Any]:
    given = row.get("properties")
    found = dict(given) if isinstance(given, dict) else {}
    for column, value in row.items():
        if column not in _NOT_PROPERTIES and value is not None and value != "":
            found[column] = value
    return found


def _shown(text: str) -> str:
    return repr(text[:40].encode("utf-8", "replace").decode())
