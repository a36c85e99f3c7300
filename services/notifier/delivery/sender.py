"""Sends what is due: claims with a lease, sends with no transaction open, records how it ended.

A crash between the receiver's 200 and the record leaves the lease to run out; then the delivery is sent
again under the same id, which is what "at least once" means here.

One transaction records what has ended and claims what comes next; meanwhile each channel works through
its own queue, so that neither the disk nor a slow receiver makes the others wait.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.channels.channel import Channel, Result
from services.notifier.delivery import outgoing, recording, resting
from services.notifier.delivery.claiming import Parcel, claim_due, sorted_out
from services.notifier.delivery.outgoing import Attempt, Mark
from services.notifier.delivery.posting import is_ours, mark_of, returned, waited_us
from services.notifier.delivery.recording import Sent
from services.notifier.delivery.resting import ChannelState
from services.notifier.delivery.tracks import attempting, note_result
from services.notifier.messages.letter import Letter
from services.notifier.parts import NotifierParts
from services.notifier.rests import first_of
from shared.errors import TransientError
from shared.failpoints import hit

log = structlog.get_logger()

FRESH_US = 3_000_000
"""A letter that waited longer than this in its queue is looked at again before it is sent."""

QUEUED_PER_PLACE_MAX = 20
LOW_PER_PLACE = 5
"""So few are left in a queue, and more are claimed before it is empty."""

RECORD_COUNT = 200
"""So many ended attempts are recorded at once without waiting for more."""

RECORD_SECONDS = 0.25
IDLE_SECONDS_MAX = 1.0


class Sender:
    """Carries deliveries to their channels; any number of senders may share a database."""

    def __init__(self, parts: NotifierParts, channels: Mapping[str, Channel]) -> None:
        self._parts = parts
        self._channels = channels
        self._paces = {name: channel.pace for name, channel in channels.items()}
        self._sections = parts.config.channels
        self._queues: defaultdict[str, deque[Parcel]] = defaultdict(deque)
        self._in_flight: dict[asyncio.Task[None], str] = {}
        self._sent: list[Sent] = []
        self._recorded: Mapping[str, ChannelState] = {}
        self._states: dict[str, ChannelState] = {}
        self._more: frozenset[str] = frozenset()
        self._again_us: int | None = None
        self._woken = asyncio.Event()
        self._ripe = asyncio.Event()

    def wake(self) -> None:
        """Something may be due now."""
        self._woken.set()

    async def step(self) -> bool:
        """Sends and records what is due now, one room full; True if anything was."""
        parcels = await self.claim(per_place_max=1)
        await asyncio.gather(*(self.deliver(parcel) for parcel in parcels))
        await self.record()
        return bool(parcels)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps every channel busy until told to stop; then lets what is under way end."""
        while not stop.is_set():
            self._woken.clear()
            try:
                parcels = await self.claim()
            except TransientError as error:
                # What was sent stays here until it can be recorded, or its lease ends it.
                log.warning("deliveries wait for the database", error=error.message)
                await first_of(self._woken, self._ripe, stop, seconds_max=IDLE_SECONDS_MAX)
                continue
            for parcel in parcels:
                self._queues[parcel[0].delivery.channel].append(parcel)
            # What landed meanwhile waits for company: a transaction costs the same for one as for many.
            self._ripe.clear()
            self._start()
            if self._sent and not self._in_flight:
                self._ripe.set()  # Nobody is under way any more for whose company it could wait.
            await first_of(self._woken, self._ripe, stop, seconds_max=self._seconds_to_wait())
        await self._finish()

    # Queues

    def _start(self) -> None:
        """Fills every channel's free places from its queue."""
        busy = Counter(self._in_flight.values())
        for channel, queue in self._queues.items():
            for _ in range(min(len(queue), self._paces[channel].places - busy[channel])):
                task = asyncio.create_task(self.deliver(queue.popleft()))
                self._in_flight[task] = channel
                task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self._start()
        if len(self._sent) >= RECORD_COUNT or not self._in_flight or self._runs_low():
            self._ripe.set()

    def _runs_low(self) -> bool:
        """Whether a channel for which more was due than it had room for has room again."""
        return any(len(self._queues[c]) <= LOW_PER_PLACE * self._paces[c].places for c in self._more)

    def _seconds_to_wait(self) -> float:
        seconds = RECORD_SECONDS if self._sent or self._in_flight else IDLE_SECONDS_MAX
        if self._again_us is None:
            return seconds
        return min(seconds, max(0.0, (self._again_us - self._parts.clock.now_us()) / 1_000_000))

    async def _finish(self) -> None:
        """Gives back what is queued, lets each attempt end (they are bounded), and records it all."""
        now_us = self._parts.clock.now_us()
        for queue in self._queues.values():
            self._sent += [_given_back(letter, now_us) for parcel in queue for letter in parcel]
            queue.clear()
        await asyncio.gather(*self._in_flight)
        try:
            await self.record()
        except TransientError as error:
            log.warning("the last deliveries are not recorded and may go out again", error=error.message)

    # Claiming

    async def claim(self, per_place_max: int = QUEUED_PER_PLACE_MAX) -> Sequence[Parcel]:
        """Records what has ended and takes what is due, in one transaction.

        `per_place_max`: so many letters are held for each of a channel's places.
        """
        now_us = self._parts.clock.now_us()

        def room(channel: str) -> int:
            return self._room(channel, per_place_max)

        async with self._recording(now_us) as connection:
            claimed = await claim_due(connection, self._sections, self._paces, room, now_us)
        hit("notifier.claimed")
        self._recorded = claimed.states or self._recorded  # not read where nothing was due
        self._states |= claimed.states
        self._more, self._again_us = claimed.more, claimed.again_us
        return claimed.parcels

    def _room(self, channel: str, per_place_max: int) -> int:
        pace, queued = self._paces[channel], len(self._queues[channel])
        # Of a channel that fails, too, the one probe is waited for: it may hang as long as an attempt may.
        if pace.every_us or self._state(channel).is_failing:
            return 0 if queued or channel in self._in_flight.values() else 1
        return max(0, pace.places * per_place_max - queued)

    # Sending

    async def deliver(self, parcel: Parcel) -> None:
        """One attempt; how it ended waits to be recorded."""
        begun_us = self._parts.clock.now_us()
        fresh = [letter for old in parcel if (letter := await self._fresh(old, begun_us)) is not None]
        if not fresh:
            return
        result = await self._attempt(fresh, begun_us)
        hit("notifier.sent")
        ended_us = self._parts.clock.now_us()
        # One moment for all: what failed in one message comes back in one.
        jitter = self._parts.random.random()
        for letter in fresh:
            mark = mark_of(letter.delivery, result, now_us=ended_us, jitter=jitter)
            attempt = _logged(letter, mark, result, begun_us, ended_us)
            self._sent.append(Sent(letter=letter, mark=mark, result=result, attempt=attempt))
        channel = fresh[0].delivery.channel
        # What is queued behind it need not wait for the record to hear of it.
        self._states[channel] = resting.after(
            self._state(channel), result, begun_us=begun_us, now_us=ended_us
        )

    def _state(self, channel: str) -> ChannelState:
        return self._states.get(channel) or ChannelState(channel=channel)

    async def _fresh(self, letter: Letter, now_us: int) -> Letter | None:
        """The letter as it is at the moment of sending; None where it must not be sent, or is not ours."""
        delivery = letter.delivery
        state = self._state(delivery.channel)
        if state.disabled_us is not None or (state.is_failing and resting.is_resting(state, now_us)):
            self._sent.append(_given_back(letter, now_us))
            return None
        if waited_us(delivery, now_us) < FRESH_US:
            return letter
        try:
            async with self._parts.database.read() as connection:
                claim = await outgoing.reread(connection, delivery)
        except TransientError:
            return None  # Its lease runs out, and it is claimed again when the database is back.
        letters, marks = sorted_out([claim] if claim is not None else [], self._sections, now_us)
        self._sent += [Sent(letter=letter, mark=mark) for mark in marks]
        if not letters or not is_ours(delivery, now_us):
            return None
        # Whatever became of the others in its message since then has a change of its own.
        return msgspec.structs.replace(letters[0], shown=letter.shown)

    async def _attempt(self, letters: Sequence[Letter], now_us: int) -> Result:
        with attempting(letters) as span:
            result = await self._sent_by_channel(letters, now_us)
            note_result(span, result)
        return result

    async def _sent_by_channel(self, letters: Sequence[Letter], now_us: int) -> Result:
        delivery = letters[0].delivery
        try:
            return await self._channels[delivery.channel].send(letters, now_us)
        except Exception as error:
            # A letter that cannot even be written must stop neither the others nor itself for good: it
            # is tried again, ends among the dead where operators look, and its task stays in the inbox.
            log.exception("a delivery failed in our own code", delivery=delivery.id)
            return Result(verdict="retry", detail=f"{type(error).__name__}: {error}"[:200])

    # Recording

    async def record(self) -> None:
        """Writes every attempt that has ended, in one transaction."""
        if self._sent:
            async with self._recording(self._parts.clock.now_us()):
                pass

    @asynccontextmanager
    async def _recording(self, now_us: int) -> AsyncIterator[AsyncConnection]:
        """A transaction that begins by writing what has ended; until it is committed nothing of it is
        forgotten, and what lands meanwhile waits for the next one."""
        sent, self._sent = self._sent, []
        try:
            async with self._parts.database.begin() as connection:
                await recording.write_sent(connection, sent, self._recorded, self._parts.config, now_us)
                yield connection
        except BaseException:
            self._sent = [*sent, *self._sent]
            raise
        self._forget(sent)

    def _forget(self, sent: Sequence[Sent]) -> None:
        """They are committed; from here on they are figures."""
        if sent:
            hit("notifier.recorded")
        recording.count(sent)


def _logged(letter: Letter, mark: Mark, result: Result, begun_us: int, ended_us: int) -> Attempt:
    return Attempt(
        delivery_id=letter.delivery.id,
        at_us=begun_us,
        result="dead" if mark.state == "dead" else result.verdict,
        detail=result.detail,
        took_us=max(0, ended_us - begun_us),
    )


def _given_back(letter: Letter, now_us: int) -> Sent:
    return Sent(letter=letter, mark=returned(letter.delivery, now_us))
