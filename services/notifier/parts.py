"""What the notifier is built of; tests pass fakes for any of it."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Protocol

import msgspec

from services.notifier.channels.http import ClientFactory, open_client
from shared.auth import KeyRing
from shared.clock import Clock
from shared.config import Config
from shared.database import Database
from shared.events import DeadLetter
from shared.log import Log


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A usage day of a customer: whether it was used, and whether use was expected."""

    day: date
    active: bool
    expected: bool


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's present streak under one rule; its days are None when its length is 0."""

    rule: str
    length: int
    calendar_days: int
    started_on: date | None
    last_active_on: date | None


class OpenCount(msgspec.Struct, frozen=True, kw_only=True):
    """A count that is neither reached nor missed: so many of those asked for, until the end of `last_day`."""

    rule: str
    count: int
    at_least: int
    last_day: date


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a customer stands under the rules that lead somewhere."""

    streaks: Sequence[Streak] = ()
    counts: Sequence[OpenCount] = ()


StandingOf = Callable[[str, str], Awaitable[Standing]]
"""Product and customer to where the customer stands now."""

DaysOf = Callable[[str, str, date, date], Awaitable[Sequence[Day]]]
"""Product, customer, first and last day (both included) to the customer's days, in order."""


class Letters(Protocol):
    """The dead letters, for whoever looks after them."""

    async def newest(self, count_max: int) -> Sequence[DeadLetter]:
        """The newest first."""
        ...

    async def send_again(self, letter_id: str) -> None:
        """Sends the event of a letter in again, as backfill.

        Raises NotFound, Conflict where the letter holds no event, InvalidInput where it is still wrong.
        """
        ...


class NotifierParts(msgspec.Struct, frozen=True, kw_only=True):
    """The world of one notifier.

    `public_url` is where CSMs find the inbox, for links in messages. `days_of` and `standing_of` ask the
    evaluator about a customer; without them the inbox shows neither. `fetch_seconds`: how long a fetch waits.
    """

    config: Config
    database: Database
    log: Log
    keys: KeyRing
    clock: Clock
    random: random.Random
    open_client: ClientFactory = open_client
    public_url: str | None = None
    days_of: DaysOf | None = None
    standing_of: StandingOf | None = None
    letters: Letters | None = None
    fetch_seconds: float = 1.0
