"""F4, F6, F8, F10: the broker is away or cut off, a partition is not fetched, or the log has lost some."""

from collections.abc import Sequence
from time import monotonic

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from sqlalchemy import delete

from shared.events import TOPIC_EVENTS
from shared.log.kafka import APPEND_TIMEOUT_SECONDS
from shared.schema import log_records
from tests.faults.conftest import Figure, OpenDistributed, OpenPlace
from tests.faults.cutoffs import soon
from tests.faults.launching import Instance
from tests.faults.place import DistributedPlace, EmbeddedPlace, Place
from tests.faults.poster import Poster, days_ago, use
from tests.faults.rounds import play
from tests.faults.verdict import check
from tests.servers import KafkaServer
from tests.servers.proxy import Proxy

RECOVERED_SECONDS = 30.0
ANSWERED_SECONDS = APPEND_TIMEOUT_SECONDS + 2
POSTS_WHILE_AWAY = 20
SECONDS_TO_CUTOFF = 10
LATE_SECONDS = 10
_ONE, _TWO, _THREE = 1, 2, 3


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_while_the_broker_is_away_ingest_answers_503_and_afterwards_all_is_caught_up(
    open_distributed: OpenDistributed, broker: KafkaServer, how: str, figure: Figure
) -> None:
    """F4: kill -9 and a start on the same directory, or a broker that keeps its lines and says nothing."""
    place = await open_distributed()
    ingest = await place.start(("ingest",))
    evaluator = await place.start(("evaluator",))
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, ingest, _ONE)
        told_before = await place.rest(alive=evaluator)
        poster.statuses.clear()
        if how == "killed":
            broker.kill()
        else:
            broker.freeze()
        try:
            await _post_in_vain(poster, ingest, figure)
            assert (await poster.get(ingest, "/readyz")).status_code == 503
            assert (await poster.get(ingest, "/healthz")).status_code == 200
            away = await place.snapshot()
        finally:
            if how == "killed":
                broker.start()
            else:
                broker.thaw()
        begun = monotonic()
        await poster.repeat(ingest)
        await place.rest(alive=evaluator)
        figure(f"F4 caught up after the broker was {how}", monotonic() - begun, RECOVERED_SECONDS)
        await play(place, poster, ingest, _TWO)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest(alive=evaluator))
    assert away.outbox == told_before.outbox, "something was decided while nothing could be read"


async def test_a_partition_that_is_silently_not_fetched_makes_nobody_else_wait(open_place: OpenPlace) -> None:
    """F6: only its own timers wait, its delay is to be seen, and nobody in it is accused afterwards."""
    cutoff = soon(SECONDS_TO_CUTOFF)
    place = await open_place(cutoff.section)
    hole = place.directory / "hole"
    both = await place.start(FAULTS_SWALLOW_FILE=str(hole))
    async with Poster(await place.make_key()) as poster:
        names = [f"c-{i}" for i in range(30)]
        await place.append([message for name in names for message in cutoff.habit(name)])
        seen = await place.rest(alive=both)
        inside = {name for name in names if seen.partitions[name] == 1}
        outside = set(names) - inside
        assert inside
        assert outside
        assert await both.end() == 0
        hole.write_text("1")
        both = await place.start(FAULTS_SWALLOW_FILE=str(hole))
        await place.append([cutoff.use_before(name) for name in inside])
        await cutoff.passed(place)
        seen = await place.until(lambda seen: seen.silent() == outside, alive=both)
        await poster.until_metric(both, "lag_records", lambda lag: lag > 3, partition=1)
        late = await poster.until_metric(
            both, "watermark_delay_seconds", lambda seconds: seconds > LATE_SECONDS, partition=1
        )
        assert await poster.until_metric(both, "watermark_delay_seconds", bool, partition=0) < late / 2
        hole.unlink()
        seen = await check(place, acknowledged=(), seen=await place.rest(alive=both))
    assert seen.silent() == outside


@pytest.mark.parametrize("direction", ["both ways", "answers", "closed"])
async def test_another_takes_over_from_an_evaluator_that_is_cut_off_from_the_broker(
    open_distributed: OpenDistributed, broker_line: Proxy, direction: str
) -> None:
    """F8: one of two evaluators loses the broker and keeps the database."""
    place = await open_distributed()
    ingest = await place.start(("ingest",))
    async with Poster(await place.make_key()) as poster:
        direct = place.bootstrap_servers
        place.bootstrap_servers = f"127.0.0.1:{broker_line.port}"
        cut_off = await place.start(("evaluator",), name="cut-off")
        place.bootstrap_servers = direct
        await place.start(("evaluator",), name="other")
        await play(place, poster, ingest, _ONE)
        if direction == "closed":
            broker_line.cut()
        else:
            broker_line.hold(requests=direction == "both ways")
        # A round needs every partition, so it ends only once the other has them all.
        await play(place, poster, ingest, _TWO)
        broker_line.mend()
        broker_line.release()
        await play(place, poster, ingest, _THREE)
        await check(place, acknowledged=poster.acknowledged, seen=await place.rest())
        assert cut_off.is_alive


async def test_an_offset_that_the_log_no_longer_has_stops_its_partition_and_alarms(
    open_place: OpenPlace,
) -> None:
    """F10: never a reset; the other partitions go on."""
    place = await open_place()
    both = await place.start()
    async with Poster(await place.make_key()) as poster:
        await play(place, poster, both, _ONE)
        await place.rest(alive=both)
        assert await both.end() == 0
        stood = (await place.snapshot()).positions
        names = [f"c-{i}" for i in range(30)]
        feeder = await place.start(("ingest",))
        posted = [use(name, on=days_ago(6), id=f"{name}-6") for name in names]
        assert await poster.post(feeder, posted) == 202
        assert await feeder.end() == 0
        await _forget_all_of(place, 1)
        both = await place.start()
        partition_of = await _partitions(place, names)
        others = {name for name in names if partition_of.get(name) not in (None, 1)}
        await place.until(lambda seen: seen.told("usage.stopped") >= others, alive=both)
        assert await poster.until_metric(both, "partitions_stopped", bool) == 1
        assert f"{TOPIC_EVENTS}/1: offset" in both.said()
        seen = await place.snapshot()
    assert seen.positions[1] == stood[1], "the partition was moved over what is missing"
    assert all(seen.positions[number][0] > stood[number][0] for number in (0, 2))


async def _post_in_vain(poster: Poster, ingest: Instance, figure: Figure) -> None:
    for i in range(POSTS_WHILE_AWAY):
        begun = monotonic()
        status = await poster.post(ingest, [use(f"away-{i}", on=days_ago(5), id=f"away-{i}")])
        assert status == 503
        figure("F4 answered 503", monotonic() - begun, ANSWERED_SECONDS)
        if i and monotonic() - begun > 1:
            break  # a frozen broker is waited for each time; two answers say enough


async def _partitions(place: Place, names: Sequence[str] = ()) -> dict[str, int]:
    """Where each customer's records are."""
    found: dict[str, int] = {}
    for number, records in (await place.records(TOPIC_EVENTS)).items():
        for record in records:
            if record.key is not None:
                found[record.key.decode().partition("/")[2]] = number
    return {name: number for name, number in found.items() if not names or name in names}


async def _forget_all_of(place: Place, partition: int) -> None:
    """As if its retention had been too short: everything in it goes, read or not."""
    if isinstance(place, EmbeddedPlace):
        newest = await place.embedded_log.end(TOPIC_EVENTS, partition) - 1
        table = log_records.c
        async with place.database.begin() as connection:
            await connection.execute(
                delete(log_records).where(
                    table.topic == TOPIC_EVENTS, table.partition == partition, table.offset < newest
                )
            )
        return
    assert isinstance(place, DistributedPlace)
    where = TopicPartition(place.prefix + TOPIC_EVENTS, partition)
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({where: RecordsToDelete(before_offset=-1)})
    finally:
        await admin.close()
