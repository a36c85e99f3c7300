"""Work that has begun: a test goes on when each task has run to where it first waits, and reads no clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def begun(*works: Coroutine[Any, Any, ResultT]) -> list[asyncio.Task[ResultT]]:
    """Each of `works` as a task; all of them begin in the same turn, in this order."""
    signs = [asyncio.Event() for _ in works]
    tasks = [asyncio.create_task(_run(work, sign)) for work, sign in zip(works, signs, strict=True)]
    for sign in signs:
        await sign.wait()
    return tasks


async def _run(work: Coroutine[Any, Any, ResultT], sign: asyncio.Event) -> ResultT:
    sign.set()
    # Whoever waits for the sign has its turn only when this first waits for something.
    return await work
