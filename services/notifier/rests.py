"""Rests a worker until something calls it, for a bounded time."""

import asyncio


async def first_of(*events: asyncio.Event, seconds_max: float) -> None:
    """Returns when the first of them is set, or after `seconds_max`."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
