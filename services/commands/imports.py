"""`import` and `import-customers`: history and customers from files into the running service."""

import asyncio
import csv
import io
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from uuid import UUID, uuid5

import typer

from services.commands.surroundings import URL_DEFAULT, KeyOption, UrlOption
from shared.errors import PermanentError

if TYPE_CHECKING:
    from services.commands.remote import Accepted, Remote
    from services.commands.tables import Rejections, Table
    from services.commands.usage_rows import Use

EVENTS_PER_REQUEST_MAX = 1_000
ROWS_PER_REQUEST_MAX = 500
BYTES_PER_REQUEST_MAX = 900_000

_NAMESPACE = UUID("1f0f6e64-5d8b-5a0e-8a64-2e2d1a3f7b55")


def import_events(
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="CSV or NDJSON, also .gz, or - .")],
    url: UrlOption = URL_DEFAULT,
    key: KeyOption = "",
) -> None:
    """Import history into the running service.

    Doing it twice changes nothing.

    Days and streaks are filled; nothing is told that lies before the import.
    """
    asyncio.run(import_event_file(events, url, key))


def import_customers(
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV or NDJSON, also .gz, or - .")],
    url: UrlOption = URL_DEFAULT,
    key: KeyOption = "",
) -> None:
    """Import customers into the running service.

    Their whole profiles, as `PUT` would set them; unknown columns become properties.
    """
    asyncio.run(import_customer_file(file, url, key))


async def import_event_file(name: str, url: str, key: str) -> None:
    """Sends the uses in a file as backfill. Raises PermanentError or TransientError."""
    from services.commands.remote import Remote

    async with Remote(url, key) as remote:
        await _import(name, remote, _event_batches)


async def import_customer_file(name: str, url: str, key: str) -> None:
    """Sends the customers in a file. Raises PermanentError or TransientError."""
    from services.commands.remote import Remote

    async with Remote(url, key) as remote:
        await _import(name, remote, _customer_batches)


Batches = Callable[["Table", "Rejections", "Remote"], AsyncIterator[tuple[Sequence[int], "Accepted"]]]
"""Sends the table batch by batch; gives the lines of each batch with what became of it."""


async def _import(name: str, remote: "Remote", batches: Batches) -> None:
    from services.commands.progress import progress
    from services.commands.tables import Rejections, Table

    rejected = Rejections(lambda line: print(line, file=sys.stderr))
    table = Table(name)
    taken_count = 0
    with progress(f"importing {name}", table.size) as bar:
        async for lines, accepted in batches(table, rejected, remote):
            taken_count += accepted.count
            for index, code, message in accepted.rejected:
                rejected.add(lines[index], code, message)
            bar.at(table.position)
    print(f"{taken_count:,} lines accepted, {rejected.summary()} rejected")
    if rejected.count and not taken_count:
        raise PermanentError(f"nothing in {name} could be taken")


async def _event_batches(
    table: "Table", rejected: "Rejections", remote: "Remote"
) -> AsyncIterator[tuple[Sequence[int], "Accepted"]]:
    import msgspec

    from services.commands.usage_rows import uses
    from shared.clock import SystemClock

    found = uses(table, rejected, product="", now_us=SystemClock().now_us())
    encoded = ((use.line, msgspec.json.encode(_native(use))) for use in found)
    for batch in _chunks(encoded, EVENTS_PER_REQUEST_MAX):
        body = b"[" + b",".join(item for _, item in batch) + b"]"
        yield (
            [line for line, _ in batch],
            await remote.post("/v1/events", body, content_type="application/json"),
        )


async def _customer_batches(
    table: "Table", rejected: "Rejections", remote: "Remote"
) -> AsyncIterator[tuple[Sequence[int], "Accepted"]]:
    from services.ingest.customer_rows import COLUMNS, ID_COLUMN

    rows = table.rows(rejected, required=(ID_COLUMN,), known=COLUMNS)
    first = next(rows, None)
    if first is None:
        return
    if table.is_csv:
        heading = _csv_line(first[1].keys())
        texts = ((line, _csv_line(row.values())) for line, row in _and_rest(first, rows))
        for batch in _chunks(texts, ROWS_PER_REQUEST_MAX):
            body = heading + b"".join(text for _, text in batch)
            accepted = await remote.post("/v1/customers", body, content_type="text/csv", backfill=False)
            yield [line for line, _ in batch], _without_places(accepted)
    else:
        for line, row in _and_rest(first, rows):
            yield [line], await _put_customer(remote, dict(row))


async def _put_customer(remote: "Remote", fields: dict[str, Any]) -> "Accepted":
    import msgspec

    customer_id = str(fields.pop("customer_id", ""))
    return await remote.put(f"/v1/customers/{quote(customer_id, safe='')}", msgspec.json.encode(fields))


def _without_places(accepted: "Accepted") -> "Accepted":
    """The service counts lines within the request; here they are counted within the file."""
    from services.commands.remote import Accepted

    told = [
        (index, code, message.partition(": ")[2] if message.startswith("line ") else message)
        for index, code, message in accepted.rejected
    ]
    return Accepted(accepted.count, told)


def _native(use: "Use") -> dict[str, Any]:
    """The event as `POST /v1/events` takes it; its id follows from what it says."""
    from datetime import date

    from shared.clock import rfc3339

    event: dict[str, Any] = {"customer_id": use.customer_id, "event": use.event}
    if use.occurred_us is not None:
        event["occurred_at"] = rfc3339(use.occurred_us)
    elif use.occurred_on is not None:
        event["occurred_on"] = date.fromordinal(use.occurred_on).isoformat()
    if use.user_id:
        event["user_id"] = use.user_id
    if use.properties:
        event["properties"] = use.properties
    event["event_id"] = use.event_id or _derived_id(event)
    return event


def _derived_id(event: dict[str, Any]) -> str:
    import msgspec

    return str(uuid5(_NAMESPACE, msgspec.json.encode(event, order="sorted").decode()))


def _chunks(items: Iterable[tuple[int, bytes]], count_max: int) -> Iterator[list[tuple[int, bytes]]]:
    """Batches of so many items and so many bytes at the most."""
    batch: list[tuple[int, bytes]] = []
    size = 0
    for item in items:
        if batch and (len(batch) == count_max or size + len(item[1]) > BYTES_PER_REQUEST_MAX):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item[1]) + 1
    if batch:
        yield batch


def _csv_line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _and_rest(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
