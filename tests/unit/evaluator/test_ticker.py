"""Time is told in good measure, right when somebody becomes due, and never backwards."""

import asyncio
from datetime import timedelta

import pytest

from services.evaluator.ticker import WAIT_SECONDS_MAX, Ticker
from shared.clock import ManualClock
from shared.events import TOPIC_EVENTS, Tick, decode
from tests.fakes.log import MemoryLog
from tests.unit.evaluator.pipeline import START, instant_us

EVERY_SECONDS = 5


class Setup:
    """A ticker of two partitions on a log in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.log = MemoryLog(self.clock, partitions=2)
        self.awaiting: dict[int, int | None] = {0: None, 1: None}
        self.ticker = Ticker(
            log=self.log, clock=self.clock, awaiting=lambda: self.awaiting, every_seconds=EVERY_SECONDS
        )

    async def after(self, **by: float) -> bool:
        self.clock.advance(timedelta(**by))
        return await self.ticker.step()

    def told(self, partition: int = 0) -> list[float]:
        """The ticks in a partition, in seconds since START."""
        ticks = [decode(record.value) for record in self.log.records(TOPIC_EVENTS, partition)]
        assert all(isinstance(tick, Tick) for tick in ticks)
        return [(tick.at_us - instant_us(0)) / 1_000_000 for tick in ticks if isinstance(tick, Tick)]


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_every_partition_is_told_the_time_at_once_and_then_in_good_measure(setup: Setup) -> None:
    assert await setup.after(seconds=0)
    for _ in range(12):
        await setup.after(seconds=1)
    assert setup.told(0) == setup.told(1) == [0, 5, 10]


async def test_a_partition_is_told_right_after_somebody_becomes_due(setup: Setup) -> None:
    await setup.after(seconds=0)
    setup.awaiting[1] = instant_us(0) + 3_000_000
    assert not await setup.after(seconds=3)  # due is due only once it has passed
    assert setup.ticker.wait_seconds() == 0.001
    assert await setup.after(microseconds=1)
    assert setup.told(0) == [0]
    assert setup.told(1) == [0, 3.000001]
    assert not await setup.after(seconds=1)  # the tick is on its way; it is not sent again


async def test_a_partition_new_to_us_is_told_at_once(setup: Setup) -> None:
    await setup.after(seconds=0)
    del setup.awaiting[1]
    await setup.after(seconds=2)
    setup.awaiting[1] = None
    assert await setup.after(seconds=1)
    assert setup.told(1) == [0, 3]


async def test_a_partition_that_is_swept_is_not_told(setup: Setup) -> None:
    del setup.awaiting[0]
    await setup.after(seconds=0)
    assert setup.told(0) == []


async def test_many_due_one_after_another_do_not_flood_the_log(setup: Setup) -> None:
    await setup.after(seconds=0)
    for _ in range(3000):
        setup.awaiting[0] = setup.clock.now_us()
        await setup.after(milliseconds=1)
    assert len(setup.told(0)) <= 1 + 3 / 0.5


async def test_no_time_is_told_while_the_clock_is_behind_what_it_has_said(setup: Setup) -> None:
    await setup.after(hours=2)
    assert not await setup.after(hours=-1)
    assert setup.ticker.problem() == "the clock was set back by 3600 s; no time is told until then"
    assert not await setup.after(minutes=59)
    assert await setup.after(minutes=2)
    assert setup.told(0) == [7200, 7260]
    assert setup.ticker.problem() is None


async def test_a_clock_kept_right_in_small_steps_is_no_problem(setup: Setup) -> None:
    await setup.after(seconds=1)
    assert not await setup.after(milliseconds=-300)
    assert setup.ticker.problem() is None


async def test_a_tick_not_acknowledged_is_sent_with_the_time_of_the_next_try(setup: Setup) -> None:
    setup.log.fail_next(1)
    assert not await setup.after(seconds=0)
    assert setup.ticker.problem() == "the log did not acknowledge in time"
    assert await setup.after(seconds=1)
    assert setup.told(0) == [1]
    assert setup.ticker.problem() is None


@pytest.mark.parametrize(
    ("due_in", "wait"), [(None, WAIT_SECONDS_MAX), (0.6, 0.6), (0.1, 0.5), (-1.0, WAIT_SECONDS_MAX)]
)
async def test_it_waits_for_the_next_one_due_but_never_long(
    setup: Setup, due_in: float | None, wait: float
) -> None:
    await setup.after(seconds=0)
    if due_in is not None:
        setup.awaiting[0] = instant_us(0) + round(due_in * 1_000_000)
    assert setup.ticker.wait_seconds() == pytest.approx(wait, abs=0.001)


async def test_it_stops_when_told_to(setup: Setup) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(setup.ticker.run(stop))
    consumer = await setup.log.consumer(TOPIC_EVENTS, "reader")
    consumer.seek(0, 0)
    assert await consumer.fetch(records_max=1, timeout_seconds=5)
    stop.set()
    await asyncio.wait_for(running, 5)
