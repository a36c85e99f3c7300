"""F11: the disk is full: ingest answers 503, nothing of a batch is half there, and it recovers by itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.events import TOPIC_EVENTS, Event
from tests.faults.conftest import OpenEmbedded
from tests.faults.place import EmbeddedPlace
from tests.faults.poster import Poster, days_ago, use
from tests.faults.rounds import play
from tests.faults.verdict import check, message_of

SMALL, LARGE = "2m", "64m"
BATCHES_MAX = 200
EVENTS_PER_BATCH = 20
ROOMY = "r" * 1_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a size that a test can fill."""
    where = tmp_path / "place" / "data"
    where.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(where)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


async def test_a_full_disk_is_answered_with_503_and_more_room_is_used_at_once(
    small_disk: Path, open_embedded: OpenEmbedded
) -> None:
    place = await open_embedded()
    assert place.data == small_disk
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, both, 1)
        for number in range(BATCHES_MAX):
            items = [
                use(f"full-{i}", on=days_ago(5), id=f"full-{number}-{i}", properties={"room": ROOMY})
                for i in range(EVENTS_PER_BATCH)
            ]
            if await poster.post(both, items) != 202:
                break
        assert poster.statuses[-1] == 503
        assert await poster.post(both, items) == 503
        assert both.is_alive
        _give_room(small_disk)
        await poster.repeat(both)
        await play(place, poster, both, 2)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=both))
        await _assert_batches_whole(place)


def _give_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(disk)], check=True)


async def _assert_batches_whole(place: EmbeddedPlace) -> None:
    counts: dict[str, int] = {}
    for records in (await place.records(TOPIC_EVENTS)).values():
        for record in records:
            message = message_of(record)
            if isinstance(message, Event) and message.event_id.startswith("full-"):
                batch = message.event_id.split("-")[1]
                counts[batch] = counts.get(batch, 0) + 1
    assert counts
    assert all(count % EVENTS_PER_BATCH == 0 for count in counts.values()), counts
