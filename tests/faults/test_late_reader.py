"""F5: an evaluator that lags over a cutoff raises no false stop, and the true ones late."""

from shared.clock import SystemClock
from shared.events import Tick, encode
from shared.log import Message
from tests.faults.conftest import OpenPlace
from tests.faults.cutoffs import soon
from tests.faults.place import PARTITIONS, Place
from tests.faults.poster import Poster
from tests.faults.verdict import check

SECONDS_TO_CUTOFF = 8
EACH = 20


async def test_who_was_there_in_time_is_never_told_to_have_stopped(open_place: OpenPlace) -> None:
    """The evaluator is frozen before the deadline and thawed after it; meanwhile the log goes on, with use on
    both sides of the deadline, and with the time that another evaluator would have told."""
    cutoff = soon(SECONDS_TO_CUTOFF)
    place = await open_place(cutoff.section)
    kinds = ("early", "between", "after", "silent")
    people = {kind: [f"{kind}-{i}" for i in range(EACH)] for kind in kinds}
    everybody = [name for names in people.values() for name in names]
    evaluator = await place.start()
    await place.make_key()
    await place.append([m for name in everybody for m in cutoff.habit(name)])
    await place.append([cutoff.use_before(name) for name in people["early"]])
    await place.rest(alive=evaluator)
    evaluator.freeze()
    assert SystemClock().now_us() < cutoff.deadline_us, "this machine is too slow for this test"
    await _tell_the_time(place)
    await place.append([cutoff.use_before(name) for name in people["between"]])
    await cutoff.passed(place)
    # Nobody has told the log yet that the deadline is over, so these are in time to be read before that.
    await place.append([cutoff.use_after(name) for name in people["after"]])
    await _tell_the_time(place)
    evaluator.thaw()
    seen = await place.rest(alive=evaluator)
    async with Poster() as poster:
        await check(place, acknowledged=poster.acknowledged, seen=seen)
    assert seen.silent() == set(people["silent"])


async def test_hours_of_lag_over_two_cutoffs_are_caught_up_day_by_day(open_place: OpenPlace) -> None:
    """Nothing reads for the whole of two days: what happened stands in the log, and that alone counts."""
    cutoff = soon(-60)
    place = await open_place(cutoff.section)
    reader = await place.start()
    await place.make_key()
    everybody = [f"c-{i}" for i in range(3 * EACH)]
    await place.append([m for name in everybody for m in cutoff.habit(name, until=3)])
    await place.rest(alive=reader)
    reader.freeze()
    await place.append([m for name in everybody[EACH:] for m in cutoff.days(name, (2, 1))])
    await _tell_the_time(place)
    await place.append([cutoff.use_before(name) for name in everybody[2 * EACH :]])
    reader.thaw()
    seen = await place.rest(alive=reader)
    await check(place, acknowledged=(), seen=seen)
    assert seen.silent() == set(everybody[: 2 * EACH])
    assert seen.told("usage.stopped.retracted") == set(everybody[EACH:])


async def _tell_the_time(place: Place) -> None:
    tick = encode(Tick(at_us=SystemClock().now_us()))
    await place.append([Message(value=tick, partition=number) for number in range(PARTITIONS)])
