"""The log with a span for each append, whose context travels with the records that have none of their own."""

from collections.abc import Mapping, Sequence

import msgspec

from shared import tracing
from shared.log import Consumer, Log, Message


class TracedLog:
    """Implements shared.log.Log on another one; everything but `append` is the other's."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """What nobody traced has asked for (time, most of all) is appended without a word."""
        asked_by = tracing.current()
        brought = [message.traceparent for message in messages if message.traceparent is not None]
        if asked_by is None and not brought:
            await self._log.append(topic, messages)
            return
        told: tracing.Attributes = {
            "messaging.operation.type": "send",
            "messaging.operation.name": "append",
            "messaging.destination.name": topic,
            "messaging.batch.message_count": len(messages),
        }
        with tracing.span(f"append {topic}", "producer", told, parent=asked_by, links=brought) as span:
            if asked_by is not None:
                messages = [_stamped(message, span.traceparent) for message in messages]
            await self._log.append(topic, messages)

    async def partitions(self, topic: str) -> int:
        return await self._log.partitions(topic)

    async def ends(self, topic: str) -> Mapping[int, int]:
        return await self._log.ends(topic)

    async def consumer(self, topic: str, group: str) -> Consumer:
        return await self._log.consumer(topic, group)

    async def check(self) -> None:
        await self._log.check()

    async def close(self) -> None:
        await self._log.close()


def _stamped(message: Message, traceparent: str | None) -> Message:
    if message.traceparent is not None:
        return message
    return msgspec.structs.replace(message, traceparent=traceparent)
