"""`dead-letters list/replay`: what could not be taken, why, and sending it again once that is mended."""

import asyncio
import csv
import io
import sys
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from services.commands.surroundings import URL_DEFAULT, DataOption, KeyOption, UrlOption

if TYPE_CHECKING:
    from shared.events import DeadLetter
    from shared.settings import Settings

app = typer.Typer(help="What could not be taken: list it, send it again.", no_args_is_help=True)

RECORDS_MAX = 1_000
EVENTS_PATH = "/v1/events"
CUSTOMERS_PATH = "/v1/customers"

ReasonOption = Annotated[str | None, typer.Option("--reason", help="With this reason alone.")]
ProductFilter = Annotated[str | None, typer.Option("--product", metavar="ID", help="Of this product alone.")]


@app.command("list")
def list_letters(reason: ReasonOption = None, product: ProductFilter = None, data: DataOption = None) -> None:
    """List dead letters, oldest first.

    JSON lines with id, reason, message, origin and payload; each letter once.
    """
    from services.commands.surroundings import read_settings
    from shared.events import encode

    async def run() -> None:
        async for letter in _letters(read_settings(data_dir=data), reason, product):
            print(encode(letter).decode())

    asyncio.run(run())


@app.command("replay")
def replay(
    reason: ReasonOption = None,
    url: UrlOption = URL_DEFAULT,
    key: KeyOption = "",
    data: DataOption = None,
) -> None:
    """Send those of the key's product again.

    To the running service, as backfill, each to where it came; what is still wrong is told.
    """
    from services.commands.remote import Remote
    from services.commands.surroundings import read_settings

    settings = read_settings(data_dir=data)

    async def run() -> None:
        sent_count = refused_count = 0
        async with Remote(url, key) as remote:
            product = await _product_of(key, settings)
            async for letter in _letters(settings, reason, product):
                again = again_of(letter)
                if again is None:
                    print(f"{letter.id}: nothing that could be sent again", file=sys.stderr)
                    refused_count += 1
                    continue
                accepted = await remote.post_again(again.path, again.body, content_type=again.content_type)
                for _, code, message in accepted.rejected:
                    print(f"{letter.id}: {code}: {message}", file=sys.stderr)
                sent_count += accepted.count
                refused_count += len(accepted.rejected)
        print(f"{sent_count:,} accepted, {refused_count:,} still refused")

    asyncio.run(run())


class Again(NamedTuple):
    """A request that sends what a letter holds once more."""

    path: str
    content_type: str
    body: bytes


def again_of(letter: "DeadLetter") -> Again | None:
    """The letter's item as the route takes it to which it came; None where it holds nothing to be sent."""
    import msgspec

    source, _, path = letter.origin.partition(":")
    if source not in ("http", "import"):
        return _again_from_log(letter)
    try:
        item = msgspec.json.decode(letter.payload)
    except msgspec.DecodeError:
        return None  # Broken JSON stays broken, and so does what was too long to be kept whole.
    if path == CUSTOMERS_PATH:
        return Again(path, "text/csv", _as_csv(item)) if item else None
    is_cloudevent = path == EVENTS_PATH and isinstance(item, dict) and "specversion" in item
    content_type = "application/cloudevents+json" if is_cloudevent else "application/json"
    return Again(path, content_type, letter.payload.encode())


def _again_from_log(letter: "DeadLetter") -> Again | None:
    import msgspec

    from shared.events import Event, decode

    try:
        message = decode(letter.payload.encode())
    except (msgspec.MsgspecError, ValueError):
        return None
    if not isinstance(message, Event):
        return None
    return Again(EVENTS_PATH, "application/json", msgspec.json.encode(_native(message)))


def _as_csv(cells: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cells.keys(), cells.values()])
    return text.getvalue().encode()


def _native(event: Any) -> dict[str, Any]:
    from shared.clock import rfc3339

    when = (
        {"occurred_on": event.occurred_on.isoformat()}
        if event.occurred_us is None
        else {"occurred_at": rfc3339(event.occurred_us)}
    )
    told = {"customer_id": event.customer_id, "event_id": event.event_id, "event": event.event, **when}
    if event.user_id is not None:
        told["user_id"] = event.user_id
    return {**told, "properties": event.properties} if event.properties else told


async def _product_of(key: str, settings: "Settings") -> str:
    """Whose key this is: another product's letters must not be sent with it."""
    from services.foundations import open_database
    from shared.auth import KeyRing
    from shared.clock import SystemClock

    database = open_database(settings)
    try:
        return (await KeyRing(database, SystemClock()).authenticate(key)).product
    finally:
        await database.close()


async def _letters(
    settings: "Settings", reason: str | None, product: str | None
) -> AsyncIterator["DeadLetter"]:
    """Every dead letter in the log up to now, each id once, for delivery is at least once."""
    import msgspec

    from services.foundations import open_log
    from shared.erasure import ERASED
    from shared.events import DeadLetter

    decoder = msgspec.json.Decoder(DeadLetter)
    seen: set[str] = set()
    async with open_log(settings) as log:
        async for value in _values(log):
            letter = decoder.decode(value)
            is_wanted = reason in (None, letter.reason) and product in (None, letter.product)
            if is_wanted and letter.id not in seen and letter.reason != ERASED:
                seen.add(letter.id)
                yield letter


async def _values(log: Any) -> AsyncIterator[bytes]:
    """The records of `usage.dead_letters` from the first one kept to the end there is now."""
    from uuid import uuid4

    from shared.events import TOPIC_DEAD_LETTERS

    # A group of its own, so that it shares the topic with nobody.
    consumer = await log.consumer(TOPIC_DEAD_LETTERS, f"usage-triggers.dead-letters.{uuid4()}")
    try:
        while not (partitions := consumer.assignment()):
            await consumer.fetch(records_max=1, timeout_seconds=1.0)
        left = {partition: await consumer.end(partition) for partition in sorted(partitions)}
        for partition, end in sorted(left.items()):
            at = await consumer.beginning(partition)
            consumer.seek(partition, at)
            while at < end:
                records = (await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=1.0)).get(
                    partition, ()
                )
                if not records:
                    break
                for record in records:
                    at = record.offset + 1
                    yield record.value
            consumer.forget(partition)
    finally:
        await consumer.close()
