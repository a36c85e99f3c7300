"""Workers stop together, and one that dies is told."""

import asyncio

import pytest

from services.supervisor import Supervisor
from shared.errors import OffsetOutOfRange, TransientError


class Steady:
    def __init__(self) -> None:
        self.ended = False

    async def step(self) -> bool:
        return False

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.ended = True


class Dying(Steady):
    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    async def run(self, stop: asyncio.Event) -> None:
        if self._error is not None:
            raise self._error


async def test_every_worker_ends_when_told_to_stop() -> None:
    workers = {"one": Steady(), "two": Steady()}
    supervisor = Supervisor(workers)
    supervisor.start()
    await supervisor.check()
    await supervisor.stop()
    assert all(worker.ended for worker in workers.values())
    assert supervisor.failure is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OffsetOutOfRange("the stored offset lies outside the log"),
            "the stored offset lies outside the log",
        ),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (None, "it returned before it was told to stop"),
    ],
)
async def test_a_worker_that_dies_makes_the_process_unready_and_says_why(
    error: Exception | None, said: str
) -> None:
    steady = Steady()
    supervisor = Supervisor({"steady": steady, "ticker": Dying(error)})
    supervisor.start()
    async with asyncio.timeout(10):
        await supervisor.failed.wait()
    assert supervisor.failure == f"the ticker has died: {said}"
    with pytest.raises(TransientError, match="the ticker has died"):
        await supervisor.check()
    await supervisor.stop()
    assert steady.ended
