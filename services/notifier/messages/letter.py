"""A letter: what a channel is given to say, and everything it may want to know for that."""

import msgspec

from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.lifecycle import Task
from shared.triggers import Trigger


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery about to be sent, with all that a channel may want to say.

    `value` is the trigger's JSON exactly as published; `trigger` the same as a value. `shown`: of a
    change, everything that the message to be changed speaks of, as it is by now. `traceparent` is the
    context of the trigger's decision, where that is traced.
    """

    delivery: Delivery
    task: Task
    trigger: Trigger
    value: bytes
    shown: "tuple[Letter, ...]" = ()
    traceparent: str | None = None
