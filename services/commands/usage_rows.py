"""Uses of the product as read from a file: one row becomes one `Use`, or a reason why not."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from services.commands.tables import Rejections, Row, Table
from services.ingest.limits import Terms, check_day, check_id, check_instant, check_name, instant_us
from shared.errors import InvalidInput

COLUMNS = ("customer_id", "occurred_at", "date", "event", "event_id", "user_id")
_NOT_PROPERTIES = frozenset((*COLUMNS, "occurred_on", "properties"))


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


def uses(table: Table, rejected: Rejections, *, product: str, now_us: int) -> Iterator[Use]:
    """The uses in `table` in the file's order; what ingest would not take as history goes to `rejected`."""
    # Of history nothing is too late, so the late window says nothing here.
    reader = _Reader(Terms(product=product, now_us=now_us, late_window_us=0, backfill=True))
    required = ("customer_id", "occurred_at|date|occurred_on")
    for line, row in table.rows(rejected, required=required, known=COLUMNS):
        try:
            yield reader.use(line, row)
        except InvalidInput as error:
            rejected.add(line, error.code, error.message)


class _Reader:
    """Reads rows; remembers what it has checked, for a file has few names and repeats them often."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._days: dict[object, int] = {}
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

    def _name(self, column: str, value: object) -> str:
        name = self._names.get((column, value)) if isinstance(value, str | None) else None
        if name is None:
            name = _checked_name(column, value)
            if isinstance(value, str):
                self._names[column, value] = name
        return name

    def _when(self, value: object) -> tuple[int | None, int | None]:
        """(microseconds, None) of an instant, (None, ordinal) of a bare day."""
        day = self._days.get(value) if isinstance(value, str) else None
        if day is not None:
            return None, day
        if value is None or value == "":
            raise InvalidInput("occurred_at is missing")
        if not isinstance(value, str):
            raise InvalidInput("occurred_at is not text")
        if len(value) == len("2026-03-02"):
            day = self._days[value] = self._day(value)
            return None, day
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
