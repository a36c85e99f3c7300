"""What everyone reads: some days of use in one topic, the ticks among it, and what must come of it."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.on_kafka import DAY_US, PARTITIONS, use
from bench.peers.programs.job import State, fold
from shared.events import TOPIC_EVENTS, Tick, encode
from shared.partitioner import murmur2_partition

PRODUCT = "default"
DAYS = 5
STAYS_AWAY = 0.03
SEED = 20
APPENDED_AT_ONCE = 5_000


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """So many events of so many customers; `midnight_us`: the one after the last of `DAYS` days.

    `is_live`: time is told at every midnight; else once, at the end, as to one that catches up.
    """

    events: int
    customers: int
    midnight_us: int
    is_live: bool = False

    @property
    def tick_count(self) -> int:
        return PARTITIONS * (DAYS if self.is_live else 1)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The state of every customer, and each stop as customer and first missed day."""

    states: Mapping[str, State]
    stops: frozenset[tuple[str, int]]


def drawn(load: Load) -> Iterator[list[tuple[str, int]]]:
    """Day by day the uses, as customer and instant, in the order of time.

    Everybody comes on the first and on the last day, so that every missed day is followed by a return.
    """
    random = Random(SEED)
    for number in range(DAYS):
        begins_us = load.midnight_us - (DAYS - number) * DAY_US
        everybody = range(load.customers)
        is_inner = 0 < number < DAYS - 1
        there = [n for n in everybody if not (is_inner and random.random() < STAYS_AWAY)]
        again = load.events * (number + 1) // DAYS - load.events * number // DAYS - len(there)
        came = there + random.choices(there, k=max(0, again))
        random.shuffle(came)
        yield [(f"c-{n}", begins_us + i * DAY_US // len(came)) for i, n in enumerate(came)]


def expected(load: Load) -> Outcome:
    """What must come of it."""
    states: dict[str, State] = {}
    stops: set[tuple[str, int]] = set()
    for uses in drawn(load):
        for customer_id, occurred_us in uses:
            states[customer_id], stopped_on = fold(states.get(customer_id), occurred_us // DAY_US)
            if stopped_on is not None:
                stops.add((customer_id, stopped_on))
    return Outcome(states=states, stops=frozenset(stops))


async def fill(bootstrap_servers: str, load: Load) -> int:
    """Writes it all to the topic of events; how many events that were."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=20, max_batch_size=500_000)
    await producer.start()
    count = 0
    try:
        for uses in drawn(load):
            for begin in range(0, len(uses), APPENDED_AT_ONCE):
                await _append(producer, uses[begin : begin + APPENDED_AT_ONCE], count + begin)
            count += len(uses)
            if load.is_live:
                await _tick(producer, uses[-1][1])
        if not load.is_live:
            await _tick(producer, load.midnight_us - 1)
    finally:
        await producer.stop()
    return count


async def make_topic(bootstrap_servers: str, name: str) -> None:
    """One for what a peer has to say; not every peer makes its own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()


async def _append(producer: AIOKafkaProducer, uses: Sequence[tuple[str, int]], first: int) -> None:
    for number, (customer_id, occurred_us) in enumerate(uses, start=first):
        event = use(customer_id, number, occurred_us, PRODUCT)
        assert event.key is not None
        partition = murmur2_partition(event.key, PARTITIONS)
        await producer.send(TOPIC_EVENTS, event.value, key=event.key, partition=partition)
    await producer.flush()


async def _tick(producer: AIOKafkaProducer, within_us: int) -> None:
    """Time at the end of the day: who was away is judged before anybody is back."""
    at_us = (within_us // DAY_US + 1) * DAY_US + 1_000_000
    for partition in range(PARTITIONS):
        await producer.send(TOPIC_EVENTS, encode(Tick(at_us=at_us)), partition=partition)
    await producer.flush()
