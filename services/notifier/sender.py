"""Sends what is due: claims with a lease, sends with no transaction open, records how it ended.

A crash between the receiver's 200 and the record leaves the lease to run out; then the delivery is sent
again under the same id, which is what "at least once" means here.

One transaction records what has ended and claims what comes next; meanwhile each channel works through
its own queue, so that neither the disk nor a slow receiver makes the others wait.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import outgoing
from services.notifier.channels import Channel, Letter, Result
from services.notifier.outgoing import Attempt, ChannelState, Claim, Mark
from services.notifier.parts import NotifierParts
from services.notifier.posting import mark_of, returned, verdict_on
from services.notifier.store import ledger_of, write
from services.notifier.tasks import notified
from services.notifier.zones import instant_of
from shared.errors import TransientError
from shared.failpoints import hit
from shared.metrics import DELIVERIES, STOP_TO_DELIVERED_SECONDS

log = structlog.get_logger()

LEASE_US = 60 * 1_000_000
"""Longer than any attempt: two workers send the same delivery only after one of them has died."""

FRESH_US = 3_000_000
"""A letter that waited longer than this in its queue is looked at again before it is sent."""

IN_FLIGHT_PER_CHANNEL_MAX = 10
QUEUED_PER_CHANNEL_MAX = 50
RECORD_COUNT = 50
"""So many ended attempts are recorded at once without waiting for more."""

RECORD_SECONDS = 0.25
IDLE_SECONDS_MAX = 1.0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that is dealt with and not recorded yet; `attempt` None: it was not sent after all."""

    letter: Letter
    mark: Mark
    result: Result | None = None
    attempt: Attempt | None = None

    @property
    def arrived(self) -> bool:
        return self.mark.state == "delivered"


class Sender:
    """Carries deliveries to their channels; any number of senders may share a database."""

    def __init__(self, parts: NotifierParts, channels: Mapping[str, Channel]) -> None:
        self._parts = parts
        self._channels = channels
        self._sections = parts.config.channels
        self._queues: defaultdict[str, deque[Letter]] = defaultdict(deque)
        self._in_flight: dict[asyncio.Task[None], str] = {}
        self._sent: list[Sent] = []
        self._gone: set[str] = set()
        self._more: set[str] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be due now."""
        self._woken.set()

    async def step(self) -> bool:
        """Sends and records what is due now, one room full; True if anything was."""
        letters = await self.claim(IN_FLIGHT_PER_CHANNEL_MAX)
        await asyncio.gather(*(self.deliver(letter) for letter in letters))
        await self.record()
        return bool(letters)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps every channel busy until told to stop; then lets what is under way end."""
        while not stop.is_set():
            self._woken.clear()
            try:
                letters = await self.claim(QUEUED_PER_CHANNEL_MAX)
            except TransientError as error:
                # What was sent stays here until it can be recorded, or its lease ends it.
                log.warning("deliveries wait for the database", error=error.message)
                await self._wait(stop, IDLE_SECONDS_MAX)
                continue
            for letter in letters:
                self._queues[letter.delivery.channel].append(letter)
            self._start()
            is_busy = bool(self._sent or self._in_flight)
            await self._wait(stop, RECORD_SECONDS if is_busy else IDLE_SECONDS_MAX)
        await self._finish()

    # Queues

    def _start(self) -> None:
        """Fills every channel's free places from its queue."""
        busy = Counter(self._in_flight.values())
        for channel, queue in self._queues.items():
            for _ in range(min(len(queue), IN_FLIGHT_PER_CHANNEL_MAX - busy[channel])):
                task = asyncio.create_task(self.deliver(queue.popleft()))
                self._in_flight[task] = channel
                task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self._start()
        if len(self._sent) >= RECORD_COUNT or not self._in_flight or self._runs_low():
            self.wake()

    def _runs_low(self) -> bool:
        """Whether a channel for which more was due than it had room for has room again."""
        return any(len(self._queues[channel]) <= QUEUED_PER_CHANNEL_MAX // 4 for channel in self._more)

    async def _wait(self, stop: asyncio.Event, seconds_max: float) -> None:
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _finish(self) -> None:
        """Gives back what is queued, lets each attempt end (they are bounded), and records it all."""
        now_us = self._parts.clock.now_us()
        for queue in self._queues.values():
            self._sent += [Sent(letter=letter, mark=returned(letter.delivery, now_us)) for letter in queue]
            queue.clear()
        await asyncio.gather(*self._in_flight)
        try:
            await self.record()
        except TransientError as error:
            log.warning("the last deliveries are not recorded and may go out again", error=error.message)

    # Claiming

    async def claim(self, room: int) -> list[Letter]:
        """Records what has ended and takes what is due, up to `room` letters a channel in one transaction.

        What must not be sent any more is put away at once.
        """
        now_us = self._parts.clock.now_us()
        sent = self._sent
        async with self._parts.database.begin() as connection:
            await self._write(connection, sent, now_us)
            claims = await self._due(connection, room, now_us)
            letters, marks = self._sorted(claims, now_us)
            await outgoing.record(connection, marks, ())
        self._forget(sent)
        hit("notifier.claimed")
        return letters

    async def _due(self, connection: AsyncConnection, room: int, now_us: int) -> list[Claim]:
        due = await outgoing.due_channels(connection, now_us)
        self._more.clear()
        if not due:
            return []
        states = await outgoing.channel_states(connection)
        rooms = {}
        for channel in due:
            if reason := self._closed(channel, states.get(channel)):
                await outgoing.bury(connection, channel, reason, now_us=now_us)
            elif (left := room - len(self._queues[channel])) > 0:
                rooms[channel] = left
        self._gone.intersection_update(c for c, state in states.items() if state.disabled_us is not None)
        claims = await outgoing.claim(connection, rooms, now_us=now_us, lease_us=LEASE_US)
        taken = Counter(claim.delivery.channel for claim in claims)
        self._more = {channel for channel, left in rooms.items() if taken[channel] == left}
        return claims

    def _closed(self, channel: str, state: ChannelState | None) -> str:
        """Why nothing goes through a channel; empty where it is open."""
        if channel not in self._channels:
            return f"the configuration has no channel {channel!r}"
        if state is not None and state.disabled_us is not None:
            return f"the channel is disabled: {state.reason}"
        return ""

    def _sorted(self, claims: Sequence[Claim], now_us: int) -> tuple[list[Letter], list[Mark]]:
        """What is to be sent, and what is put away unsent."""
        letters, marks = [], []
        for claim in claims:
            mark = verdict_on(claim, self._sections[claim.delivery.channel], now_us)
            if mark is not None:
                marks.append(mark)
            elif claim.task is not None and claim.trigger is not None:
                letters.append(
                    Letter(delivery=claim.delivery, task=claim.task, trigger=claim.trigger, value=claim.value)
                )
        return letters, marks

    # Sending

    async def deliver(self, letter: Letter) -> None:
        """One attempt; how it ended waits to be recorded."""
        begun_us = self._parts.clock.now_us()
        fresh = await self._fresh(letter, begun_us)
        if fresh is None:
            return
        result = await self._attempt(fresh, begun_us)
        hit("notifier.sent")
        ended_us = self._parts.clock.now_us()
        mark = mark_of(fresh.delivery, result, now_us=ended_us, jitter=self._parts.random.random())
        attempt = Attempt(
            delivery_id=fresh.delivery.id,
            at_us=begun_us,
            result="dead" if mark.state == "dead" else result.verdict,
            detail=result.detail,
            took_us=max(0, ended_us - begun_us),
        )
        if result.verdict == "disabled":
            self._gone.add(fresh.delivery.channel)
        self._sent.append(Sent(letter=fresh, mark=mark, result=result, attempt=attempt))

    async def _fresh(self, letter: Letter, now_us: int) -> Letter | None:
        """The letter as it is at the moment of sending; None where it must not be sent, or is not ours."""
        delivery = letter.delivery
        if delivery.channel in self._gone:
            self._sent.append(Sent(letter=letter, mark=returned(delivery, now_us)))
            return None
        if now_us - ((delivery.lease_until_us or 0) - LEASE_US) < FRESH_US:
            return letter
        try:
            async with self._parts.database.read() as connection:
                claim = await outgoing.reread(connection, delivery)
        except TransientError:
            return None  # Its lease runs out, and it is claimed again when the database is back.
        letters, marks = self._sorted([claim] if claim is not None else [], now_us)
        self._sent += [Sent(letter=letter, mark=mark) for mark in marks]
        is_safe = (delivery.lease_until_us or 0) - now_us > LEASE_US // 2
        return letters[0] if letters and is_safe else None

    async def _attempt(self, letter: Letter, now_us: int) -> Result:
        try:
            return await self._channels[letter.delivery.channel].send(letter, now_us)
        except Exception as error:
            # A letter that cannot even be written must stop neither the others nor itself for good: it
            # is tried again, ends among the dead where operators look, and its task stays in the inbox.
            log.exception("a delivery failed in our own code", delivery=letter.delivery.id)
            return Result(verdict="retry", detail=f"{type(error).__name__}: {error}"[:200])

    # Recording

    async def record(self) -> None:
        """Writes every attempt that has ended, in one transaction."""
        sent = self._sent
        if not sent:
            return
        async with self._parts.database.begin() as connection:
            await self._write(connection, sent, self._parts.clock.now_us())
        self._forget(sent)

    async def _write(self, connection: AsyncConnection, sent: Sequence[Sent], now_us: int) -> None:
        # What lands while this is being written waits in a new list for the next time.
        self._sent = []
        try:
            await self._write_tasks(connection, sent, now_us)
            attempts = [s.attempt for s in sent if s.attempt is not None]
            await outgoing.record(connection, [s.mark for s in sent], attempts)
            for one in sent:
                if one.result is not None and one.result.verdict == "disabled":
                    await outgoing.put_channel_state(connection, _disabled(one, now_us))
        except BaseException:
            self._sent = [*sent, *self._sent]
            raise

    async def _write_tasks(self, connection: AsyncConnection, sent: Sequence[Sent], now_us: int) -> None:
        arrived = {
            s.letter.task.id: s.letter.delivery.channel
            for s in sent
            if s.arrived and s.letter.task.state == "open" and s.letter.delivery.kind != "closed"
        }
        if not arrived:
            return
        ledger = await ledger_of(connection, arrived, self._sections)
        for task_id, channel in sorted(arrived.items()):
            if (task := ledger.task(task_id)) is not None:
                ledger.take(notified(task, channel, now_us), now_us)
        await write(connection, ledger)

    def _forget(self, sent: Sequence[Sent]) -> None:
        """They are committed; from here on they are figures."""
        if sent:
            hit("notifier.recorded")
        for one in sent:
            if one.attempt is not None:
                _count(one, one.attempt)


def _count(sent: Sent, attempt: Attempt) -> None:
    delivery = sent.letter.delivery
    DELIVERIES.labels(delivery.channel, attempt.result).inc()
    if sent.arrived and delivery.kind == "opened":
        decided_us = instant_of(sent.letter.trigger.data.decided_at)
        STOP_TO_DELIVERED_SECONDS.observe(max(0, attempt.at_us - decided_us) / 1_000_000)
    if sent.mark.state == "dead":
        log.error(
            "a delivery is given up; it can be replayed",
            delivery=delivery.id,
            channel=delivery.channel,
            detail=attempt.detail,
        )


def _disabled(sent: Sent, now_us: int) -> ChannelState:
    reason = sent.attempt.detail if sent.attempt is not None else ""
    return ChannelState(channel=sent.letter.delivery.channel, disabled_us=now_us, reason=reason)
