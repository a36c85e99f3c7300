"""The simulated log keeps what every log promises: the contract suite of the real ones, run on it."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest

from shared.clock import ManualClock
from shared.log import Log
from tests.contract import test_log as contract
from tests.contract.log_seams import PARTITIONS, STARTED_AT, EmbeddedSeam
from tests.simulation.broker import Broker


class Nowhere:
    """A site where nothing goes wrong."""

    is_dead = False

    async def io(self, what: str) -> None:
        await asyncio.sleep(0)


class SimulatedSeam(EmbeddedSeam):
    """One broker; a log opened on it stands for another process."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.topic = "usage.test"
        self.clock = ManualClock(STARTED_AT)
        self.broker = self._made()

    def _made(self) -> Broker:
        return Broker(now_us=self.clock.now_us, random=Random(1), partitions=PARTITIONS)

    def open_log(self, *, bytes_waiting_max: int = 1 << 20) -> Log:
        return self.broker.client(Nowhere(), bytes_waiting_max=bytes_waiting_max)

    def open_unreachable_log(self) -> Log:
        broker = self._made()
        broker.faults.is_away = True
        return broker.client(Nowhere())

    async def delete_before(self, partition: int, offset: int) -> None:
        self.broker.delete_before(self.topic, partition, offset)


@pytest.fixture
def seam() -> SimulatedSeam:
    return SimulatedSeam(AsyncExitStack())


@pytest.fixture
def log(seam: SimulatedSeam) -> Log:
    return seam.open_log()


globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})
