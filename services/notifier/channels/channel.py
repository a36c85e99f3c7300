"""What a channel is to whoever sends by it: its pace, one attempt at a time, and how that ended."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from services.notifier.messages.letter import Letter


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    `retry` may succeed later, `dead` never will, `disabled`: the endpoint wants no more of any,
    `unwanted`: this channel has nothing to say about it, and nothing was sent.
    `uncertain`: it may have arrived all the same. `reference` is what the channel calls the message.
    """

    verdict: Literal["delivered", "retry", "dead", "disabled", "unwanted"]
    detail: str = ""
    retry_after_seconds: float | None = None
    uncertain: bool = False
    reference: str = ""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a channel takes messages: so many at once, so many letters in one, so long between two.

    A channel with an interval gets one message at a time, whichever process sends it.
    """

    places: int = 10
    letters_max: int = 1
    every_us: int = 0


class Channel(Protocol):
    """One place that letters go to."""

    @property
    def pace(self) -> Pace: ...

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        """One attempt at one message of one or more letters; bounded in time.

        Never raises for what a receiver does. Several letters are either all new announcements or all
        changes of one message.
        """
        ...

    async def close(self) -> None: ...
