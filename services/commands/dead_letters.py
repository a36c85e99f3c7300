"""`dead-letters list/replay`: what could not be taken, why, and sending it again once that is mended."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import URL_DEFAULT, DataOption, KeyOption, UrlOption

if TYPE_CHECKING:
    from shared.events import DeadLetter
    from shared.settings import Settings

app = typer.Typer(help="What could not be taken: list it, send it again.", no_args_is_help=True)


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
    from services.letters import again_of

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
    from services.letters import letter_values
    from shared.erasure import ERASED
    from shared.events import DeadLetter

    decoder = msgspec.json.Decoder(DeadLetter)
    seen: set[str] = set()
    async with open_log(settings) as log:
        async for value in letter_values(log):
            letter = decoder.decode(value)
            is_wanted = reason in (None, letter.reason) and product in (None, letter.product)
            if is_wanted and letter.id not in seen and letter.reason != ERASED:
                seen.add(letter.id)
                yield letter
