"""The log in memory on which other tests stand keeps the contract that the real ones keep."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.log import Log
from tests.contract import test_log as contract
from tests.contract.log_seams import PARTITIONS
from tests.fakes.log import MemoryLog, MemoryStorage

# Each test of the contract becomes one of this module, with the seam of this module under it.
globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})
log = contract.log


class MemorySeam:
    def __init__(self) -> None:
        self.topic = "usage.test"
        self._clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
        self._storage = MemoryStorage()

    def open_log(self, **bounds: Any) -> Log:
        return MemoryLog(self._clock, partitions=PARTITIONS, storage=self._storage, **bounds)

    def open_unreachable_log(self) -> Log:
        nowhere = MemoryLog(self._clock, partitions=PARTITIONS)
        nowhere.fail_next(2)
        return nowhere

    async def delete_before(self, partition: int, offset: int) -> None:
        self._storage.delete_before(self.topic, partition, offset)


@pytest.fixture
def seam() -> MemorySeam:
    return MemorySeam()
