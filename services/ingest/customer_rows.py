"""Customers from a spreadsheet: one row becomes an id and a profile, or a reason why not. Pure."""

import io
import json
from collections.abc import Mapping

from services.ingest.batch import Batch, Rejection, profile_record, reject
from services.ingest.customers import ProfileBody, parse_profile
from services.ingest.limits import CSV_LINES_MAX, Terms, check_id
from shared.csv_rows import Row, decoded_lines, read_rows
from shared.errors import InvalidInput, TooLarge
from shared.events import Profile, ProfileChanged
from shared.log import Message

ID_COLUMN = "customer_id"
COLUMNS = (ID_COLUMN, *(name for name in ProfileBody.model_fields if name not in ("calendar", "properties")))
"""The columns that mean something; every other becomes a property."""


def parse_customer_row(cells: Mapping[str, str]) -> tuple[str, Profile]:
    """The id and profile of one row; empty cells are not told, unknown columns are properties.

    Raises InvalidInput with `column: what is wrong`.
    """
    filled = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    if ID_COLUMN not in filled:
        raise InvalidInput("customer_id is empty")
    customer_id = check_id(filled.pop(ID_COLUMN), ID_COLUMN)
    fields: dict[str, object] = {name: cell for name, cell in filled.items() if name in COLUMNS}
    fields["properties"] = {name: cell for name, cell in filled.items() if name not in COLUMNS}
    if "day_starts_at" in filled:
        # A spreadsheet writes 5:00 for 05:00; in a column of local times that is clear enough.
        fields["day_starts_at"] = filled["day_starts_at"].rjust(5, "0")
    return customer_id, parse_profile(fields)


def parse_customers(body: bytes, terms: Terms) -> Batch:
    """Every row of a CSV body as a profile record; each bad row is rejected alone, with its line.

    Raises NotParseable for a heading of no use, TooLarge for more lines than are taken at once.
    """
    lines = list(decoded_lines(io.BytesIO(body)))
    if len(lines) > CSV_LINES_MAX:
        raise TooLarge(f"{CSV_LINES_MAX} lines at the most in a body; send it in parts")
    messages: list[Message] = []
    rejected: list[Rejection] = []
    for index, row in enumerate(read_rows(lines, required=(ID_COLUMN,), known=COLUMNS)):
        try:
            messages.append(_record(row, terms))
        except InvalidInput as error:
            placed = InvalidInput(f"line {row.line}: {error.message}", code=error.code)
            payload = json.dumps(row.cells, ensure_ascii=False).encode("utf-8", "surrogateescape")
            rejected.append(reject(index, placed, payload, row.cells.get(ID_COLUMN)))
    return Batch(messages=messages, rejected=rejected, profile_count=len(messages))


def _record(row: Row, terms: Terms) -> Message:
    if row.error is not None:
        raise row.error
    customer_id, profile = parse_customer_row(row.cells)
    return profile_record(
        ProfileChanged(
            product=terms.product,
            customer_id=customer_id,
            profile=profile,
            received_us=terms.now_us,
            backfill=terms.backfill,
        )
    )
