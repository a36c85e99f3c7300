"""Customers as read from a file: one row becomes an id and a profile, or a reason why not."""

from collections.abc import Iterator

from services.commands.tables import Rejections, Row, Table
from services.ingest.customer_rows import COLUMNS, ID_COLUMN, parse_customer_row
from services.ingest.customers import parse_profile
from services.ingest.limits import check_id
from shared.errors import InvalidInput
from shared.events import Profile


def customers(table: Table, rejected: Rejections) -> Iterator[tuple[str, Profile]]:
    """Id and profile of each customer; what cannot be taken goes to `rejected`."""
    for line, row in table.rows(rejected, required=(ID_COLUMN,), known=COLUMNS):
        try:
            yield _customer(row, is_csv=table.is_csv)
        except InvalidInput as error:
            rejected.add(line, error.code, error.message)


def _customer(row: Row, *, is_csv: bool) -> tuple[str, Profile]:
    if is_csv:
        return parse_customer_row(row)
    fields = dict(row)
    return check_id(fields.pop(ID_COLUMN, ""), ID_COLUMN), parse_profile(fields)
