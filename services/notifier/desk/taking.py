"""Traces of triggers taken in: each in the trace of its decision, the batch with links to all of them."""

from collections.abc import Mapping, Sequence

from shared import tracing
from shared.events import TOPIC_TRIGGERS
from shared.log import Record
from shared.triggers import Trigger, traced_as


class Taking:
    """A batch, from here to its commit; one that is not committed is read again, and told of then."""

    def __init__(self, partition: int, readable: Sequence[tuple[Record, Trigger]]) -> None:
        self._batch = tracing.NO_SPAN
        self._spans: dict[str, tracing.Span] = {}
        decisions = [record.traceparent for record, _ in readable if record.traceparent is not None]
        if not decisions or not tracing.is_on():
            return
        place: tracing.Attributes = {
            "messaging.operation.type": "process",
            "messaging.operation.name": "take",
            "messaging.destination.name": TOPIC_TRIGGERS,
            "messaging.destination.partition.id": str(partition),
        }
        count = {"messaging.batch.message_count": len(readable)}
        self._batch = tracing.begin(
            f"process {TOPIC_TRIGGERS}", "consumer", {**place, **count}, links=decisions
        )
        for record, trigger in readable:
            if record.traceparent is not None:
                self._spans[trigger.id] = tracing.begin(
                    f"take {trigger.type}",
                    "consumer",
                    {**place, **traced_as(trigger)},
                    parent=record.traceparent,
                )

    def committed(self, tasks: Mapping[str, str]) -> None:
        """`tasks` are those under which triggers stand, by the trigger's id; nobody may have been called."""
        for trigger_id, span in self._spans.items():
            if (task_id := tasks.get(trigger_id)) is not None:
                span.note({"usage_triggers.task.id": task_id})
            span.end()
        self._batch.end()
