"""F14: events that come late by a minute or by forty days take back, move, or are put aside."""

import msgspec

from shared.clock import SystemClock
from shared.events import TOPIC_DEAD_LETTERS, DeadLetter, Event, encode, record_key
from shared.log import Message
from tests.faults.conftest import OpenPlace
from tests.faults.place import PRODUCT, SECTION
from tests.faults.poster import Poster, days_ago, use
from tests.faults.verdict import check

MINUTE, HOUR, DAY = 60, 3600, 86_400
LATE_BY = (MINUTE, HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 9 * DAY, 34 * DAY, 36 * DAY, 40 * DAY)
WINDOW = 35 * DAY
PLACED = {"never": range(9, 3, -1), "long ago": range(33, 27, -1), "of late": range(4, 1, -1)}


async def test_however_late_an_event_comes_it_ends_where_the_pages_say(open_place: OpenPlace) -> None:
    """Every lateness x customers with stops of long ago, of last week and of yesterday, straight into the log
    and past ingest, which would refuse the oldest before they are in it."""
    place = await open_place(SECTION)
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        names = [f"{kind}/{late}".replace(" ", "-") for kind in PLACED for late in LATE_BY]
        for kind, days in PLACED.items():
            items = [
                use(f"{kind}/{late}".replace(" ", "-"), on=days_ago(ago), id=f"{kind}{late}/{ago}")
                for late in LATE_BY
                for ago in days
            ]
            assert await poster.post(both, items) == 202
        await place.until(lambda seen: seen.told("usage.stopped") == set(names), alive=both)
        await place.append([_late(name, int(name.rpartition("/")[2])) for name in names])
        seen = await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
        assert seen.told("usage.stopped.retracted")
        assert seen.told("usage.resumed")
        too_old = {name for name in names if int(name.rpartition("/")[2]) > WINDOW}
        letters = [
            msgspec.json.decode(entry.value, type=DeadLetter)
            for entry in seen.outbox
            if entry.topic == TOPIC_DEAD_LETTERS
        ]
        assert {letter.customer_id for letter in letters} == too_old
        assert {letter.reason for letter in letters} == {"too_old"}


async def test_ingest_says_at_once_what_is_too_old(open_place: OpenPlace) -> None:
    place = await open_place(SECTION)
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        assert await poster.post(both, [use("c-1", on=days_ago(40), id="old")]) == 422
        assert await poster.post(both, [use("c-1", on=days_ago(30), id="good")]) == 202
        poster.unacknowledged.clear()
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))


def _late(customer_id: str, seconds: int) -> Message:
    now_us = SystemClock().now_us()
    event = Event(
        product=PRODUCT,
        customer_id=customer_id,
        event_id=f"{customer_id}-late",
        occurred_us=now_us - seconds * 1_000_000,
        received_us=now_us,
    )
    return Message(value=encode(event), key=record_key(PRODUCT, customer_id))
