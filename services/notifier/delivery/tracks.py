"""The span of an attempt: in the trace of the decision that it tells of, or with links to several."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from services.notifier.channels.channel import Result
from services.notifier.messages.letter import Letter
from shared import tracing
from shared.triggers import traced_as


def attempting(letters: Sequence[Letter]) -> AbstractContextManager[tracing.Span]:
    """Around one attempt at one message; of a decision that is not traced, none is told of."""
    decisions = [letter.traceparent for letter in letters if letter.traceparent is not None]
    if not decisions:
        return nullcontext(tracing.NO_SPAN)
    delivery = letters[0].delivery
    known: tracing.Attributes = {
        "usage_triggers.channel": delivery.channel,
        "usage_triggers.delivery.kind": delivery.kind,
    }
    name = f"deliver {delivery.channel}"
    if len(letters) > 1:
        count = {"messaging.batch.message_count": len(letters)}
        return tracing.span(name, "client", {**known, **count}, links=decisions)
    its_own: tracing.Attributes = {
        "usage_triggers.delivery.id": delivery.id,
        "usage_triggers.delivery.attempt": delivery.attempt_count,
        "usage_triggers.task.id": delivery.task_id,
        **traced_as(letters[0].trigger),
    }
    return tracing.span(name, "client", {**known, **its_own}, parent=decisions[0])


def note_result(span: tracing.Span, result: Result) -> None:
    """How it ended, without what the receiver said: that may quote anything."""
    span.note({"usage_triggers.delivery.result": result.verdict})
    if result.verdict not in ("delivered", "unwanted"):
        span.fail(result.verdict)
