"""Membership of a consumer group: says which partitions are ours, and reads nothing.

aiokafka hands out records before its listener has run, swallows what a listener raises, and blocks
`getmany` while a group is being shared out. So one client is a member and another reads, by
`assign()`, what this one owns and the store has positioned (decision record 0012).
"""

import asyncio
import logging
from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from shared.log.aiokafka_inside import (
    abandon_consumer,
    is_dead,
    raise_group_errors,
    start_consumer,
    stop_consumer,
)
from shared.log.kafka_connection import KafkaConnection, cause

SESSION_SECONDS = 6.0
"""A killed member's partitions are idle that long; the shortest that a broker allows unless told so."""
HEARTBEAT_SECONDS = 1.0
REBALANCE_SECONDS = 8.0
"""How long a group waits for a member that does not come back, before it goes on without it."""
IDLE_SECONDS_MAX = 120.0
"""A member that does not ask for records that long is stuck: its partitions go to the others."""
COMMIT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of `group` on `topic`. `generation` changes whenever positions have become void."""

    def __init__(self, connection: KafkaConnection, topic: str, group: str) -> None:
        self._connection = connection
        self._topic = topic
        self._group = group
        self._member: AIOKafkaConsumer | None = None
        self._committing: asyncio.Task[None] | None = None
        self._offsets: dict[TopicPartition, int] = {}
        self.owned: frozenset[int] = frozenset()
        self.generation = 0
        self.changed = asyncio.Event()  # set when `owned` has changed

    async def join(self) -> None:
        """Be a member, anew if the client has failed; raises LogUnavailable when no broker answers."""
        if self._member is None:
            self._member = await self._start_member()

    async def look(self) -> None:
        """Notice what has become of the member; it joins anew when its client has failed."""
        await self.join()
        assert self._member is not None
        if is_dead(self._member):
            # Asked first: aiokafka would raise what ended its task, a cancellation too, as if it were ours.
            await self._lose("a background task has ended")
            return
        try:
            raise_group_errors(self._member)
        except KafkaError as error:
            await self._lose(cause(error))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group in the background: nothing but dashboards depends on it."""
        self._offsets |= {TopicPartition(self._topic, p): offset for p, offset in offsets.items()}
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())

    async def leave(self) -> None:
        """Leave the group, so that it shares our partitions at once."""
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=COMMIT_SECONDS)
            self._committing.cancel()
        self._own(frozenset())
        member, self._member = self._member, None
        if member is not None:
            await stop_consumer(member)

    # What aiokafka calls. Nothing here waits or raises: it only marks what is ours.

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._own(frozenset())

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._member is None:
            return  # we are leaving while the group is shared out
        for place in assigned:
            # The member fetches nothing: without a position of its own it would ask for a committed one.
            self._member.seek(place, 0)
            self._member.pause(place)
        self._own(frozenset(place.partition for place in assigned))

    def _own(self, partitions: frozenset[int]) -> None:
        self.owned = partitions
        self.generation += 1
        self.changed.set()

    async def _start_member(self) -> AIOKafkaConsumer:
        member = AIOKafkaConsumer(
            **self._connection.arguments(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=round(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=round(HEARTBEAT_SECONDS * 1000),
            rebalance_timeout_ms=round(REBALANCE_SECONDS * 1000),
            request_timeout_ms=round((REBALANCE_SECONDS + SESSION_SECONDS) * 1000),
            max_poll_interval_ms=round(IDLE_SECONDS_MAX * 1000),
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        await start_consumer(member)
        # Only now, because `start` would wait for the group to settle, which can take for ever.
        member.subscribe([self._topic], listener=self)
        return member

    async def _lose(self, reason: str) -> None:
        _log.warning("group %s on %s: joining anew: %s", self._group, self._topic, reason)
        self._own(frozenset())
        member, self._member = self._member, None
        if member is not None:
            await abandon_consumer(member)

    async def _commit(self) -> None:
        while self._offsets and self._member is not None:
            offsets, self._offsets = self._offsets, {}
            ours = {place: offset for place, offset in offsets.items() if place.partition in self.owned}
            if not ours:
                continue  # taken away since
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._member.commit(ours)
            except (TimeoutError, KafkaError, OSError) as error:
                # The next batch commits again, and where we read on is not decided by this.
                _log.info("group %s: offsets not committed: %s", self._group, cause(error))
                return
