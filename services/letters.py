"""Dead letters, read from the log and sent in again: for the command line and the operation page alike."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from shared.clock import Clock, rfc3339
from shared.config import Config
from shared.erasure import ERASED
from shared.errors import Conflict, NotFound
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, DeadLetter, Event, decode
from shared.log import Log

RECORDS_MAX = 1_000
NEWEST_MAX = 1_000
"""So many records of each partition are looked through for the newest letters."""

EVENTS_PATH = "/v1/events"
CUSTOMERS_PATH = "/v1/customers"

_decoder = msgspec.json.Decoder(DeadLetter)


class LogLetters:
    """The letters in the log, for a process that runs beside it; `make_id` names events that have no id."""

    def __init__(self, log: Log, config: Config, clock: Clock, make_id: Callable[[], str]) -> None:
        self._log = log
        self._config = config
        self._clock = clock
        self._make_id = make_id

    async def newest(self, count_max: int) -> Sequence[DeadLetter]:
        """The newest first, each once, for delivery is at least once."""
        found: dict[str, DeadLetter] = {}
        async for value in letter_values(self._log, newest_max=NEWEST_MAX):
            letter = _decoder.decode(value)
            if letter.reason != ERASED:
                found[letter.id] = letter
        return sorted(found.values(), key=lambda letter: letter.rejected_us, reverse=True)[:count_max]

    async def send_again(self, letter_id: str) -> None:
        """Sends the event of a letter in again, as backfill. Raises NotFound, Conflict or InvalidInput."""
        from services.ingest.batch import event_record
        from services.ingest.limits import Terms
        from services.ingest.native import parse_one

        found = [letter for letter in await self.newest(NEWEST_MAX) if letter.id == letter_id]
        if not found:
            raise NotFound(f"no dead letter {letter_id[:80]!r} among the newest; `dead-letters list` has all")
        again, product = again_of(found[0]), self._config.products.get(found[0].product)
        if again is None or product is None:
            raise Conflict("this letter holds nothing that could be sent again", code="no_event")
        if (again.path, again.content_type) != (EVENTS_PATH, "application/json"):
            raise Conflict(
                f"this came to {again.path}; `usage-triggers dead-letters replay` sends it there",
                code="no_event",
            )
        terms = Terms(
            product=found[0].product,
            now_us=self._clock.now_us(),
            late_window_us=int(product.late_window.total_seconds()) * 1_000_000,
            backfill=True,
        )
        await self._log.append(TOPIC_EVENTS, [event_record(parse_one(again.body, terms, self._make_id))])


class Again(NamedTuple):
    """A request that sends what a letter holds once more."""

    path: str
    content_type: str
    body: bytes


def again_of(letter: DeadLetter) -> Again | None:
    """The letter's item as the route takes it to which it came; None where it holds nothing to be sent."""
    source, _, path = letter.origin.partition(":")
    if source not in ("http", "import"):
        return _again_from_log(letter)
    try:
        item = msgspec.json.decode(letter.payload)
    except msgspec.DecodeError:
        return None  # Broken JSON stays broken, and so does what was too long to be kept whole.
    if path == CUSTOMERS_PATH:
        return Again(path, "text/csv", _as_csv(item)) if item else None
    is_cloudevent = path == EVENTS_PATH and isinstance(item, dict) and "specversion" in item
    content_type = "application/cloudevents+json" if is_cloudevent else "application/json"
    return Again(path, content_type, letter.payload.encode())


def _again_from_log(letter: DeadLetter) -> Again | None:
    try:
        message = decode(letter.payload.encode())
    except (msgspec.MsgspecError, ValueError):
        return None
    if not isinstance(message, Event):
        return None
    return Again(EVENTS_PATH, "application/json", msgspec.json.encode(_native(message)))


def _as_csv(cells: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cells.keys(), cells.values()])
    return text.getvalue().encode()


def _native(event: Event) -> dict[str, Any]:
    when: dict[str, Any] = {}
    if event.occurred_us is not None:
        when = {"occurred_at": rfc3339(event.occurred_us)}
    elif event.occurred_on is not None:
        when = {"occurred_on": event.occurred_on.isoformat()}
    told = {"customer_id": event.customer_id, "event_id": event.event_id, "event": event.event, **when}
    if event.user_id is not None:
        told["user_id"] = event.user_id
    return {**told, "properties": event.properties} if event.properties else told


async def letter_values(log: Log, *, newest_max: int | None = None) -> AsyncIterator[bytes]:
    """The records of `usage.dead_letters` up to the end there is now, of each partition the newest alone."""
    # A group of its own, so that it shares the topic with nobody.
    consumer = await log.consumer(TOPIC_DEAD_LETTERS, f"usage-triggers.dead-letters.{uuid4()}")
    try:
        while not (partitions := consumer.assignment()):
            await consumer.fetch(records_max=1, timeout_seconds=1.0)
        left = {partition: await consumer.end(partition) for partition in sorted(partitions)}
        for partition, end in sorted(left.items()):
            at = await consumer.beginning(partition)
            if newest_max is not None:
                at = max(at, end - newest_max)
            consumer.seek(partition, at)
            while at < end:
                records = (await consumer.fetch(records_max=RECORDS_MAX, timeout_seconds=1.0)).get(
                    partition, ()
                )
                if not records:
                    break
                for record in records:
                    at = record.offset + 1
                    yield record.value
            consumer.forget(partition)
    finally:
        await consumer.close()
