"""F4 on three brokers: whichever of them goes, the others go on; when two go, nothing is lost."""

from time import monotonic

import pytest

from tests.faults.conftest import Figure
from tests.faults.load import all_move, load
from tests.faults.place import DistributedPlace
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.verdict import check
from tests.servers.cluster import KafkaCluster

MOVED_ON_SECONDS = 30.0
_ONE, _TWO = 1, 2


@pytest.mark.parametrize("how", ["killed", "stopped", "frozen"])
async def test_brokers_that_go_one_after_the_other_lose_and_double_nothing(
    replicated_place: DistributedPlace, cluster: KafkaCluster, how: str, figure: Figure
) -> None:
    """Each leads some partitions, and one of them the group and the controllers, when it goes."""
    place = replicated_place
    ingest = await place.start(("ingest",))
    evaluator = await place.start(("evaluator",))
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, ingest, _ONE)
        async with load(poster, lambda: ingest):
            for broker in cluster.brokers:
                {"killed": broker.kill, "stopped": broker.stop, "frozen": broker.freeze}[how]()
                begun = monotonic()
                await all_move(place)
                figure(f"F4 one of three brokers {how}: on without it", monotonic() - begun, MOVED_ON_SECONDS)
                if how == "frozen":
                    broker.thaw()
                else:
                    broker.start()
                await all_move(place)
        await play(place, poster, ingest, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=evaluator))


async def test_with_one_broker_left_of_three_nothing_is_acknowledged_and_afterwards_all_is_there(
    replicated_place: DistributedPlace, cluster: KafkaCluster
) -> None:
    """One copy is fewer than `min.insync.replicas`: what it alone has could be lost with it."""
    place = replicated_place
    ingest = await place.start(("ingest",))
    evaluator = await place.start(("evaluator",))
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, ingest, _ONE)
        poster.statuses.clear()
        for broker in cluster.brokers[1:]:
            broker.kill()
        for number in range(5):
            await poster.post(ingest, [{"customer_id": f"v-{number}", "event_id": f"v-{number}"}])
        assert set(poster.statuses) == {503}
        for broker in cluster.brokers[1:]:
            broker.start()
        await poster.repeat(ingest, within_seconds=2 * MOVED_ON_SECONDS)
        await play(place, poster, ingest, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=evaluator))
