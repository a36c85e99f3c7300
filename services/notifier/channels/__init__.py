"""The channels: each turns a letter into requests and an answer into a result; one file each."""

from typing import Literal, Protocol

import msgspec

from services.notifier.announce import Delivery
from services.notifier.tasks import Task
from shared.triggers import Trigger


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery about to be sent, with all that a channel may want to say.

    `value` is the trigger's JSON exactly as published; `trigger` the same as a value.
    """

    delivery: Delivery
    task: Task
    trigger: Trigger
    value: bytes


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    `retry` may succeed later, `dead` never will, `disabled`: the endpoint wants no more of any.
    `uncertain`: it may have arrived all the same. `reference` is what the channel calls the message.
    """

    verdict: Literal["delivered", "retry", "dead", "disabled"]
    detail: str = ""
    retry_after_seconds: float | None = None
    uncertain: bool = False
    reference: str = ""


class Channel(Protocol):
    """One place that letters go to."""

    async def send(self, letter: Letter, now_us: int) -> Result:
        """One attempt, bounded in time; never raises for what a receiver does."""
        ...

    async def close(self) -> None: ...


__all__ = ["Channel", "Letter", "Result"]
