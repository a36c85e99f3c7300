"""Sends what is due: claims with a lease, sends with no transaction open, records how it ended.

A crash between the receiver's 200 and the record leaves the lease to run out; then the delivery is sent
again under the same id, which is what "at least once" means here.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from services.notifier import outgoing
from services.notifier.announce import Delivery
from services.notifier.channels import Channel, Letter, Result
from services.notifier.outgoing import Attempt, ChannelState, Claim, Mark
from services.notifier.parts import NotifierParts
from services.notifier.posting import Verdict, mark_of, verdict_on
from services.notifier.store import ledger_of, write
from services.notifier.tasks import notified
from services.notifier.zones import instant_of
from shared.errors import TransientError
from shared.failpoints import hit
from shared.metrics import DELIVERIES, STOP_TO_DELIVERED_SECONDS

log = structlog.get_logger()

LEASE_US = 60 * 1_000_000
"""Longer than any attempt: two workers send the same delivery only after one of them has died."""

IN_FLIGHT_PER_CHANNEL_MAX = 10
IDLE_SECONDS_MAX = 1.0
UNRECORDED_SECONDS = 1.0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ended and is not recorded yet."""

    letter: Letter
    result: Result
    mark: Mark
    attempt: Attempt


class Sender:
    """Carries deliveries to their channels; any number of senders may share a database."""

    def __init__(self, parts: NotifierParts, channels: Mapping[str, Channel]) -> None:
        self._parts = parts
        self._channels = channels
        self._sections = parts.config.channels
        self._in_flight: dict[asyncio.Task[None], str] = {}
        self._sent: list[Sent] = []
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be due now."""
        self._woken.set()

    async def step(self) -> bool:
        """Sends and records what is due now, one room full; True if anything was."""
        self._woken.clear()
        letters = await self._claim()
        await asyncio.gather(*(self._deliver(letter) for letter in letters))
        await self._record()
        return bool(letters)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps every channel busy on its own, so that a slow one makes no other wait."""
        while not stop.is_set():
            self._woken.clear()
            try:
                await self._record()
                claimed = await self._claim()
            except TransientError as error:
                # What was sent stays here until it can be recorded, or its lease ends it.
                log.warning("deliveries wait for the database", error=error.message)
                await self._wait(stop, UNRECORDED_SECONDS)
                continue
            self._start(claimed)
            if not claimed and not self._sent:
                await self._wait(stop, IDLE_SECONDS_MAX)
        await self._finish()

    def _start(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            task = asyncio.create_task(self._deliver(letter))
            self._in_flight[task] = letter.delivery.channel
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()

    async def _wait(self, stop: asyncio.Event, seconds_max: float) -> None:
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _finish(self) -> None:
        """Lets what is under way end, each attempt being bounded, and records it."""
        await asyncio.gather(*self._in_flight)
        try:
            await self._record()
        except TransientError as error:
            log.warning("the last deliveries are not recorded and may go out again", error=error.message)

    async def _claim(self) -> list[Letter]:
        """Takes what is due where there is room; what must not be sent is put away at once."""
        now_us = self._parts.clock.now_us()
        busy = Counter(self._in_flight.values())
        async with self._parts.database.begin() as connection:
            due = await outgoing.due_channels(connection, now_us)
            if not due:
                return []
            states = await outgoing.channel_states(connection)
            for channel in due:
                if reason := self._closed(channel, states.get(channel)):
                    await outgoing.bury(connection, channel, reason, now_us=now_us)
            rooms = {
                channel: IN_FLIGHT_PER_CHANNEL_MAX - busy[channel]
                for channel in due
                if not self._closed(channel, states.get(channel))
            }
            claims = await outgoing.claim(
                connection,
                {c: room for c, room in rooms.items() if room > 0},
                now_us=now_us,
                lease_us=LEASE_US,
            )
            verdicts = [(claim, self._verdict(claim, now_us)) for claim in claims]
            marks = [v.mark for _, v in verdicts if v.mark is not None]
            await outgoing.record(connection, marks, ())
        hit("notifier.claimed")
        return [letter for claim, verdict in verdicts if (letter := _letter(claim, verdict)) is not None]

    def _closed(self, channel: str, state: ChannelState | None) -> str:
        """Why nothing goes through a channel; empty where it is open."""
        if channel not in self._channels:
            return f"the configuration has no channel {channel!r}"
        if state is not None and state.disabled_us is not None:
            return f"the channel is disabled: {state.reason}"
        return ""

    def _verdict(self, claim: Claim, now_us: int) -> Verdict:
        return verdict_on(claim, self._sections[claim.delivery.channel], now_us)

    async def _deliver(self, letter: Letter) -> None:
        begun_us = self._parts.clock.now_us()
        result = await self._attempt(letter, begun_us)
        hit("notifier.sent")
        ended_us = self._parts.clock.now_us()
        mark = mark_of(letter.delivery, result, now_us=ended_us, jitter=self._parts.random.random())
        attempt = Attempt(
            delivery_id=letter.delivery.id,
            at_us=begun_us,
            result=result.verdict if mark.state != "dead" else "dead",
            detail=result.detail,
            took_us=max(0, ended_us - begun_us),
        )
        self._sent.append(Sent(letter=letter, result=result, mark=mark, attempt=attempt))

    async def _attempt(self, letter: Letter, now_us: int) -> Result:
        try:
            return await self._channels[letter.delivery.channel].send(letter, now_us)
        except Exception as error:
            # A letter that cannot even be written must stop neither the others nor itself for good: it
            # is tried again, ends among the dead where operators look, and its task stays in the inbox.
            log.exception("a delivery failed in our own code", delivery=letter.delivery.id)
            return Result(verdict="retry", detail=f"{type(error).__name__}: {error}"[:200])

    async def _record(self) -> None:
        """Writes every attempt that has ended, in one transaction."""
        sent, self._sent = self._sent, []
        if not sent:
            return
        try:
            await self._write(sent)
        except BaseException:
            self._sent = sent + self._sent
            raise
        hit("notifier.recorded")
        for one in sent:
            self._count(one)

    async def _write(self, sent: Sequence[Sent]) -> None:
        now_us = self._parts.clock.now_us()
        arrived = {s.letter.task.id: s.letter.delivery.channel for s in sent if _opens(s)}
        async with self._parts.database.begin() as connection:
            if arrived:
                ledger = await ledger_of(connection, arrived, self._sections)
                for task_id, channel in sorted(arrived.items()):
                    if (task := ledger.task(task_id)) is not None:
                        ledger.take(notified(task, channel, now_us), now_us)
                await write(connection, ledger)
            await outgoing.record(connection, [s.mark for s in sent], [s.attempt for s in sent])
            for one in sent:
                if one.result.verdict == "disabled":
                    await outgoing.put_channel_state(connection, _disabled(one, now_us))

    def _count(self, sent: Sent) -> None:
        delivery = sent.letter.delivery
        DELIVERIES.labels(delivery.channel, sent.attempt.result).inc()
        if sent.mark.state == "delivered" and delivery.kind == "opened":
            decided_us = instant_of(sent.letter.trigger.data.decided_at)
            STOP_TO_DELIVERED_SECONDS.observe(max(0, sent.attempt.at_us - decided_us) / 1_000_000)
        if sent.mark.state == "dead":
            log.error(
                "a delivery is given up; it can be replayed",
                delivery=delivery.id,
                channel=delivery.channel,
                detail=sent.result.detail,
            )


def _opens(sent: Sent) -> bool:
    return sent.mark.state == "delivered" and sent.letter.delivery.kind != "closed"


def _letter(claim: Claim, verdict: Verdict) -> Letter | None:
    if verdict.mark is not None or claim.task is None or claim.trigger is None:
        return None
    return Letter(delivery=claim.delivery, task=claim.task, trigger=claim.trigger, value=claim.value)


def _disabled(sent: Sent, now_us: int) -> ChannelState:
    delivery: Delivery = sent.letter.delivery
    return ChannelState(channel=delivery.channel, disabled_us=now_us, reason=sent.result.detail)
