"""F17: whatever bytes are in the topic, they are put aside and the partition goes on, or stops in order."""

import os
from random import Random

import pytest

from services.evaluator.partition import POISON_IN_A_ROW_MAX
from shared.events import Tick, encode, record_key
from shared.log import Message
from tests.faults.conftest import OpenPlace
from tests.faults.place import PARTITIONS, PRODUCT
from tests.faults.poster import Poster
from tests.faults.rounds import play
from tests.faults.verdict import check

SEED = int(os.environ.get("FAULTS_SEED", "17"))
FUZZED = 300
HUGE_BYTES = 900_000
GOOD = (
    b'{"kind":"event","product":"reserve","customer_id":"c-1","event_id":"e","occurred_us":1,"received_us":1}'
)
KEY = record_key(PRODUCT, "c-1")
CHOSEN = [
    b"",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b'{"kind":"event"}',
    b'{"kind":"nothing"}',
    GOOD.replace(b"c-1", b""),
    GOOD.replace(b"c-1", b"c\\u0000-1"),
    GOOD.replace(b'"occurred_us":1', b'"occurred_us":1e400'),
    GOOD.replace(b'"occurred_us":1', b'"occurred_us":99999999999999999999'),
    GOOD.replace(b'"event_id":"e"', b'"event_id":"\\ud800"'),
    b"[" * 100_000,
    b"x" * HUGE_BYTES,
    GOOD[:-1] + b',"properties":{"p":"' + b"y" * HUGE_BYTES + b'"}}',
]


async def test_poison_and_huge_records_are_put_aside_and_usage_goes_on(open_place: OpenPlace) -> None:
    place = await open_place()
    both = await place.start()
    random = Random(SEED)
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, both, 1)
        records = [Message(value=value, key=KEY) for value in CHOSEN]
        records += [Message(value=_fuzzed(random), key=random.choice((KEY, None))) for _ in range(FUZZED)]
        await place.append(records)
        await play(place, poster, both, 2)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))


@pytest.mark.parametrize("count", [POISON_IN_A_ROW_MAX + 100])
async def test_nothing_but_poison_stops_its_partition_with_an_alarm(
    open_place: OpenPlace, count: int
) -> None:
    """Somebody else writes into the topic: better to stop than to put everything aside."""
    place = await open_place()
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, both, 1)
        await place.append([Message(value=b"poison", partition=1) for _ in range(count)])
        assert await poster.until_metric(both, "partitions_stopped", bool) == 1
        await poster.until_metric(both, "lag_records", lambda lag: lag < 3, partition=0)
        stopped_at = (await place.snapshot()).positions[1]
        tick = encode(Tick(at_us=stopped_at[1] + 1))
        await place.append([Message(value=tick, partition=number) for number in range(PARTITIONS)])
        ends = await place.ends()
        seen = await place.until(lambda seen: seen.positions[0][0] >= ends[0], alive=both)
    assert seen.positions[1] == stopped_at
    assert both.is_alive


def _fuzzed(random: Random) -> bytes:
    """An event with some of its bytes changed, or bytes that never were one."""
    if random.random() < 0.2:
        return random.randbytes(random.randint(0, 200))
    value = bytearray(GOOD)
    for _ in range(random.randint(1, 6)):
        value[random.randrange(len(value))] = random.randrange(256)
    return bytes(value)
