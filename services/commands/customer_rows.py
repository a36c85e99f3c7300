"""Customers as read from a file: one row becomes an id and a profile, or a reason why not."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from services.commands.tables import Rejections, Row, Table
from services.ingest.limits import check_id
from shared.config import check_holidays, check_time_zone, check_window, parse_local_time, parse_weekdays
from shared.errors import InvalidInput, NotParseable
from shared.events import Calendar, Profile

CALENDAR_COLUMNS = ("closed_weekdays", "holidays")
COLUMNS = (
    "customer_id",
    "name",
    "time_zone",
    "day_starts_at",
    *CALENDAR_COLUMNS,
    "csm",
    "segment",
    "phone",
    "contact_window",
    "contract_started_on",
    "mrr",
    "renewal_on",
)


def customers(table: Table, rejected: Rejections) -> Iterator[tuple[int, str, Profile]]:
    """Line, id and profile of each customer; what cannot be taken goes to `rejected`."""
    for line, row in table.rows(rejected, required=("customer_id",), known=COLUMNS):
        try:
            yield line, _customer_id(row), _profile(row)
        except InvalidInput as error:
            rejected.add(line, error.code, error.message)


def _customer_id(row: Row) -> str:
    value = row.get("customer_id")
    if value is None or value == "":
        raise InvalidInput("customer_id is missing")
    _check_utf8("customer_id", value)
    return check_id(value, "customer_id")


def _profile(row: Row) -> Profile:
    told: dict[str, Any] = {}
    for column, value in row.items():
        if value is None or value == "" or column == "customer_id":
            continue
        text = value.strip() if isinstance(value, str) else value
        _check_utf8(column, text)
        try:
            told[column] = _READERS[column](text) if column in _READERS else text
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{column}: {error}") from error
    properties = {name: told.pop(name) for name in list(told) if name not in COLUMNS}
    calendar = Calendar(**{name: told.pop(name) for name in CALENDAR_COLUMNS if name in told})
    return Profile(**told, calendar=calendar, properties=properties)


def _check_utf8(column: str, text: object) -> None:
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise NotParseable(f"{column} is not UTF-8 (from Excel: save as CSV UTF-8)") from None


def _local_time(text: str) -> str:
    # A spreadsheet writes 5:00 for 05:00; in a column of local times that is clear enough.
    return parse_local_time(text.rjust(5, "0")).strftime("%H:%M")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date such as 2026-03-02") from None


def _amount(value: object) -> float:
    try:
        return msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"{value!r} is no number") from None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": str,
    "time_zone": check_time_zone,
    "day_starts_at": _local_time,
    "closed_weekdays": parse_weekdays,
    "holidays": check_holidays,
    "csm": str,
    "segment": str,
    "phone": str,
    "contact_window": check_window,
    "contract_started_on": _date,
    "mrr": _amount,
    "renewal_on": _date,
}
