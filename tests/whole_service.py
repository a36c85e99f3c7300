"""All three services with their workers, in the process of the test and on a port of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.bootstrap import assemble
from services.foundations import embedded
from services.serving import bind, serve, url_of
from shared.auth import DEFAULT_SCOPES, Scope
from shared.clock import Clock
from shared.config import DEFAULT_PRODUCT, default_config
from shared.settings import Settings


@asynccontextmanager
async def whole_service(
    directory: Path, clock: Clock, scopes: Sequence[Scope] = DEFAULT_SCOPES
) -> AsyncIterator[tuple[str, str]]:
    """Its address and a key, until the end of the block."""
    settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": directory})
    with bind("127.0.0.1", 0) as listener:
        async with embedded(default_config(), settings, clock) as base:
            ready, stop = asyncio.Event(), asyncio.Event()

            async def on_ready() -> None:
                ready.set()

            served = asyncio.create_task(serve(assemble(base), listener, on_ready=on_ready, stop=stop))
            # One that does not come up is told below; nobody waits for it.
            served.add_done_callback(lambda _: ready.set())
            try:
                await ready.wait()
                yield url_of(listener), await base.keys.create(DEFAULT_PRODUCT, scopes=scopes)
            finally:
                stop.set()
                await served
