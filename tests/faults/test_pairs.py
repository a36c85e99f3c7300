"""F26: two tickers and two relays on the same partitions come to the same as one."""

from collections import Counter

from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS, Tick
from tests.faults.conftest import OpenPlace
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.verdict import check, message_of

ROUNDS = 4


async def test_two_tickers_and_two_relays_tell_the_same_as_one(open_place: OpenPlace) -> None:
    place = await open_place()
    both = await place.start(FAULTS_OTHERS="ticker relay")
    async with Poster(await place.make_key()) as poster:
        for number in range(ROUNDS):
            await play(place, poster, both, number)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
    ticks = [
        record.appended_us
        for records in (await place.records(TOPIC_EVENTS)).values()
        for record in records
        if isinstance(message_of(record), Tick)
    ]
    assert ticks
    sent = Counter(r.value for records in (await place.records(TOPIC_TRIGGERS)).values() for r in records)
    assert sent
