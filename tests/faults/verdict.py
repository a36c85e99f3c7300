"""Holds what happened against the brute-force oracle, which reads the very records of the log.

no accepted event lost       each one acknowledged is in the log, and its day in its customer's state
none missing, none false     the outbox holds what the oracle says, in each customer's order
none twice                   what was sent has one content an id, and every id is the oracle's
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from services.evaluator.core.state import decode_state
from shared.config import ProductSection
from shared.events import (
    TOPIC_DEAD_LETTERS,
    TOPIC_EVENTS,
    TOPIC_TRIGGERS,
    CustomerErased,
    DayExcused,
    DeadLetter,
    Event,
    Message,
    Tick,
    decode,
    record_key,
)
from shared.log import Record
from shared.triggers import Trigger, decode_trigger
from tests.faults.place import PRODUCT, Place, Snapshot
from tests.oracle.filter import EVERY
from tests.oracle.fold import Oracle
from tests.oracle.log import Entry
from tests.property.compare import plain

PROBLEMS_SHOWN_MAX = 20


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the oracle makes of one customer's part of the log."""

    triggers: list[Trigger]
    before_erasure: list[Trigger]
    days: frozenset[int]
    refused: list[str]


async def check(place: Place, *, acknowledged: Collection[str], seen: Snapshot) -> Snapshot:
    """Fails with every difference between the oracle and `seen`, a snapshot at rest; returns `seen`."""
    events = await place.records(TOPIC_EVENTS)
    read = {
        number: [record for record in records if record.offset < seen.positions.get(number, (0, 0))[0]]
        for number, records in events.items()
    }
    readings = read_all(place.section, read)
    sent = [record for records in (await place.records(TOPIC_TRIGGERS)).values() for record in records]
    letters = [record for records in (await place.records(TOPIC_DEAD_LETTERS)).values() for record in records]
    latest = await place.snapshot()
    problems = [
        *_lost(read, acknowledged),
        *_differences(readings, seen),
        *_days(readings, seen),
        *_sent(readings, seen, latest, sent),
        *_letters(read, readings, seen, letters),
    ]
    shown = "\n".join(problems[:PROBLEMS_SHOWN_MAX])
    kinds = dict(Counter(problem.partition(":")[0] for problem in problems))
    counts = f"{len(seen.outbox)} in the outbox, {len(sent)} triggers and {len(letters)} dead letters sent"
    assert not problems, f"{place.shape}: {kinds}, {counts}\n{shown}"
    assert readings, "the log holds no customer: nothing was tried"
    return seen


def read_all(section: ProductSection, read: Mapping[int, Sequence[Record]]) -> dict[str, Reading]:
    """Customer by customer, what the oracle says of these records."""
    return {
        customer_id: reading
        for records in read.values()
        for customer_id, reading in _read_partition(section, records)
    }


def message_of(record: Record) -> Message | None:
    """What a record says; None for poison."""
    try:
        message = decode(record.value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    if isinstance(message, Tick | DayExcused):
        return message
    is_ours = record.key == record_key(message.product, message.customer_id)
    is_placed = not isinstance(message, Event) or (message.occurred_us or message.occurred_on) is not None
    return message if is_ours and is_placed and message.customer_id else None


def _read_partition(section: ProductSection, records: Sequence[Record]) -> Iterator[tuple[str, Reading]]:
    shared: list[tuple[Record, Entry]] = []  # ticks and days excused
    own: dict[str, list[tuple[Record, Entry]]] = {}
    watermark_us = 0
    for record in records:
        message = message_of(record)
        if message is None:
            continue
        if isinstance(message, Tick):
            moved_us = min(message.at_us, record.appended_us)
            if moved_us <= watermark_us:
                continue  # late, or another's: time does not move, so nobody is judged (decision record 0041)
            watermark_us = moved_us
        entry = (record, Entry(record.appended_us, message))
        if isinstance(message, Tick | DayExcused):
            shared.append(entry)
        elif message.product == PRODUCT:
            own.setdefault(message.customer_id, []).append(entry)
    for customer_id, mine in own.items():
        yield (
            customer_id,
            _reading(section, customer_id, sorted([*mine, *shared], key=lambda pair: pair[0].offset)),
        )


def _reading(section: ProductSection, customer_id: str, log: Sequence[tuple[Record, Entry]]) -> Reading:
    oracle = Oracle(product_id=PRODUCT, customer_id=customer_id, section=section)
    triggers: list[Trigger] = []
    before_erasure: list[Trigger] = []
    for _, entry in log:
        if isinstance(entry.message, CustomerErased):
            before_erasure += triggers
            triggers = []
        try:
            triggers += oracle.read(entry)
        except OverflowError:
            # An instant so far away that no calendar has it.
            oracle.rejected.append("in_future")
    return Reading(
        triggers=triggers,
        before_erasure=before_erasure,
        days=frozenset(oracle.active.get(EVERY, ())),
        refused=oracle.rejected,
    )


def _origin(record: Record) -> str:
    return f"{TOPIC_EVENTS}/{record.partition}/{record.offset}"


# What must hold


def _lost(read: Mapping[int, Sequence[Record]], acknowledged: Collection[str]) -> Iterator[str]:
    messages = (message_of(record) for records in read.values() for record in records)
    found = {message.event_id for message in messages if isinstance(message, Event)}
    for event_id in sorted(set(acknowledged) - found):
        yield f"lost: event {event_id} was acknowledged and was not read"


def _differences(readings: Mapping[str, Reading], seen: Snapshot) -> Iterator[str]:
    told: dict[str, list[Trigger]] = {}
    for entry in seen.outbox:
        if entry.topic == TOPIC_TRIGGERS:
            told.setdefault(entry.customer_id, []).append(plain(decode_trigger(entry.value)))
    for customer_id in readings.keys() | told.keys():
        reading = readings.get(customer_id)
        expected = reading.triggers if reading is not None else []
        found = told.get(customer_id, [])
        yield from (f"missing: {_line(t)}" for t in expected if t not in found)
        yield from (f"false: {_line(t)}" for t in found if t not in expected)
        if sorted(_line(t) for t in expected) == sorted(_line(t) for t in found) and expected != found:
            yield f"order: {customer_id} was told {[t.type for t in found]}"


def _days(readings: Mapping[str, Reading], seen: Snapshot) -> Iterator[str]:
    for customer_id, reading in readings.items():
        value = seen.states.get(customer_id)
        if value is None:
            if reading.days:
                yield f"lost: nothing is stored of {customer_id}"
            continue
        state = decode_state(value)
        bits = state.active.get("*", 0)
        stored = {state.base + bit for bit in range(bits.bit_length()) if bits >> bit & 1}
        if stored != reading.days:
            yield f"days: {customer_id} has {sorted(stored)}, the log {sorted(reading.days)}"


def _sent(
    readings: Mapping[str, Reading], seen: Snapshot, latest: Snapshot, sent: Sequence[Record]
) -> Iterator[str]:
    """`latest` was taken after `sent` was read, so whatever was sent is in its outbox, or was erased."""
    contents: dict[str, bytes] = {}
    for record in sent:
        trigger = decode_trigger(record.value)
        if contents.setdefault(trigger.id, record.value) != record.value:
            yield f"twice: {trigger.id} was sent with two contents"
    decided = {entry.id: entry.value for entry in latest.outbox if entry.topic == TOPIC_TRIGGERS}
    erased = {t.id for reading in readings.values() for t in reading.before_erasure}
    for id_, value in contents.items():
        if id_ not in erased and decided.get(id_) != value:
            yield f"never decided: {value.decode()}"
    for entry in seen.outbox:
        if entry.topic == TOPIC_TRIGGERS and entry.id not in contents:
            yield f"never sent: {entry.id}"


def _letters(
    read: Mapping[int, Sequence[Record]],
    readings: Mapping[str, Reading],
    seen: Snapshot,
    letters: Sequence[Record],
) -> Iterator[str]:
    decided = [
        msgspec.json.decode(e.value, type=DeadLetter) for e in seen.outbox if e.topic == TOPIC_DEAD_LETTERS
    ]
    poison = {_origin(r) for records in read.values() for r in records if message_of(r) is None}
    found = {letter.origin for letter in decided if letter.reason == "poison"}
    yield from (f"poison put aside without reason: {origin}" for origin in sorted(found - poison))
    yield from (f"poison not put aside: {origin}" for origin in sorted(poison - found))
    for customer_id, reading in readings.items():
        if reading.before_erasure:
            continue
        reasons = sorted(
            letter.reason
            for letter in decided
            if letter.customer_id == customer_id and letter.reason != "poison"
        )
        if reasons != sorted(reading.refused):
            yield f"refused: {customer_id} has {reasons}, the oracle {sorted(reading.refused)}"
    published = {msgspec.json.decode(record.value, type=DeadLetter).id for record in letters}
    yield from (f"dead letter never sent: {letter.id}" for letter in decided if letter.id not in published)


def _line(trigger: Trigger) -> str:
    return msgspec.json.encode(trigger).decode()
