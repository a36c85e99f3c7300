"""F12: a clock two hours ahead, two hours behind, or stepping back: nobody is accused early; it is told."""

from tests.faults.conftest import OpenDistributed, OpenEmbedded
from tests.faults.cutoffs import soon
from tests.faults.place import Place
from tests.faults.poster import Poster
from tests.faults.verdict import check

TWO_HOURS = 7200
SKEW_ALARM_SECONDS = 60
SECONDS_TO_CUTOFF = 8
NAMES = [f"c-{i}" for i in range(12)]


async def test_an_evaluator_two_hours_ahead_accuses_nobody(open_distributed: OpenDistributed) -> None:
    """The deadline is an hour off: its own clock has passed it, the log's has not."""
    cutoff = soon(TWO_HOURS // 2)
    place = await open_distributed(cutoff.section)
    evaluator = await place.start(FAULTS_CLOCK_FILE=_shift(place, TWO_HOURS))
    async with Poster(await place.make_key()) as poster:
        await place.append([message for name in NAMES for message in cutoff.habit(name)])
        seen = await check(place, acknowledged=(), seen=await place.rest(alive=evaluator))
        assert seen.told("habit.formed") == set(NAMES)
        assert not seen.silent()
        skew = await poster.until_metric(evaluator, "clock_skew_seconds", bool, partition=0)
        assert skew > SKEW_ALARM_SECONDS


async def test_an_evaluator_two_hours_behind_only_delays_and_a_right_one_makes_up_for_it(
    open_distributed: OpenDistributed,
) -> None:
    """The deadline was an hour ago: by its own clock there is still time."""
    cutoff = soon(-TWO_HOURS // 2)
    place = await open_distributed(cutoff.section)
    slow = await place.start(FAULTS_CLOCK_FILE=_shift(place, -TWO_HOURS))
    async with Poster(await place.make_key()) as poster:
        await place.append([message for name in NAMES for message in cutoff.habit(name)])
        seen = await check(place, acknowledged=(), seen=await place.rest(alive=slow))
        assert not seen.silent()
        skew = await poster.until_metric(slow, "clock_skew_seconds", bool, partition=0)
        assert skew < -SKEW_ALARM_SECONDS
    assert await slow.end() == 0
    await place.start(("evaluator",))
    seen = await place.until(lambda seen: seen.silent() == set(NAMES))
    await check(place, acknowledged=(), seen=await place.rest())


async def test_a_ticker_two_hours_ahead_beside_a_right_one_changes_nothing(
    open_distributed: OpenDistributed,
) -> None:
    cutoff = soon(TWO_HOURS // 2)
    place = await open_distributed(cutoff.section)
    evaluator = await place.start()
    await place.make_key()
    await place.start(("ingest",), FAULTS_OTHERS="ticker", FAULTS_CLOCK_FILE=_shift(place, TWO_HOURS))
    await place.append([message for name in NAMES for message in cutoff.habit(name)])
    seen = await check(place, acknowledged=(), seen=await place.rest(alive=evaluator))
    assert seen.told("habit.formed") == set(NAMES)
    assert not seen.silent()


async def test_a_clock_that_steps_back_holds_the_stops_and_forgets_none(open_embedded: OpenEmbedded) -> None:
    """In one process the log has the same clock: time stands still until the clock has caught up again."""
    cutoff = soon(SECONDS_TO_CUTOFF)
    place = await open_embedded(cutoff.section)
    both = await place.start(FAULTS_CLOCK_FILE=_shift(place, 0))
    await place.make_key()
    await place.append([message for name in NAMES for message in cutoff.habit(name)])
    seen = await place.rest(alive=both)
    watermarks = {number: watermark_us for number, (_, watermark_us) in seen.positions.items()}
    _shift(place, -TWO_HOURS)
    await cutoff.passed(place)
    await place.until(lambda _: "the clock was set back" in both.said(), alive=both)
    seen = await place.snapshot()
    assert {number: watermark_us for number, (_, watermark_us) in seen.positions.items()} == watermarks
    assert not seen.silent()
    _shift(place, 0)
    await place.until(lambda seen: seen.silent() == set(NAMES), alive=both)
    await check(place, acknowledged=(), seen=await place.rest(alive=both))


def _shift(place: Place, seconds: int) -> str:
    """The file that makes a process's clock wrong."""
    file = place.directory / "clock"
    file.write_text(str(seconds))
    return str(file)
