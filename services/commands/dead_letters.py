"""`dead-letters list/replay`: what could not be taken, why, and sending it again once that is mended."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.commands.surroundings import URL_DEFAULT, DataOption, KeyOption, UrlOption

if TYPE_CHECKING:
    from shared.events import DeadLetter
    from shared.settings import Settings

app = typer.Typer(help="What could not be taken: list it, send it again.", no_args_is_help=True)

RECORDS_MAX = 1_000
EVENTS_PATH = "/v1/events"

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
    product: ProductFilter = None,
    url: UrlOption = URL_DEFAULT,
    key: KeyOption = "",
    data: DataOption = None,
) -> None:
    """Send the events among them again.

    To the running service, as backfill; what is still wrong is told.
    """
    from services.commands.remote import Remote
    from services.commands.surroundings import read_settings

    async def run() -> None:
        sent_count = refused_count = 0
        async with Remote(url, key) as remote:
            async for letter in _letters(read_settings(data_dir=data), reason, product):
                body = event_of(letter)
                if body is None:
                    print(f"{letter.id}: no event that could be sent again", file=sys.stderr)
                    refused_count += 1
                    continue
                accepted = await remote.post_one(EVENTS_PATH, body)
                for _, code, message in accepted.rejected:
                    print(f"{letter.id}: {code}: {message}", file=sys.stderr)
                sent_count += accepted.count
                refused_count += len(accepted.rejected)
        print(f"{sent_count:,} accepted, {refused_count:,} still refused")

    asyncio.run(run())


def event_of(letter: "DeadLetter") -> bytes | None:
    """The letter's event as `POST /v1/events` takes it; None where it holds none."""
    import msgspec

    from shared.events import Event, decode

    if letter.origin.endswith(f":{EVENTS_PATH}"):
        return letter.payload.encode()
    try:
        message = decode(letter.payload.encode())
    except (msgspec.MsgspecError, ValueError):
        return None
    return msgspec.json.encode(_native(message)) if isinstance(message, Event) else None


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


async def _letters(
    settings: "Settings", reason: str | None, product: str | None
) -> AsyncIterator["DeadLetter"]:
    """Every dead letter in the log up to now, each id once, for delivery is at least once."""
    import msgspec

    from services.foundations import open_log
    from shared.events import DeadLetter

    decoder = msgspec.json.Decoder(DeadLetter)
    seen: set[str] = set()
    async with open_log(settings) as log:
        async for value in _values(log):
            letter = decoder.decode(value)
            is_wanted = reason in (None, letter.reason) and product in (None, letter.product)
            if is_wanted and letter.id not in seen:
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
