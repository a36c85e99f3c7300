"""What the notifier is built of; tests pass fakes for any of it."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import date

import msgspec

from services.notifier.channels.http import ClientFactory, open_client
from shared.auth import KeyRing
from shared.clock import Clock
from shared.config import Config
from shared.database import Database
from shared.log import Log


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A usage day of a customer: whether it was used, and whether use was expected."""

    day: date
    active: bool
    expected: bool


DaysOf = Callable[[str, str, date, date], Awaitable[Sequence[Day]]]
"""Product, customer, first and last day (both included) to the customer's days, in order."""


class NotifierParts(msgspec.Struct, frozen=True, kw_only=True):
    """The world of one notifier.

    `public_url` is where CSMs find the inbox, for links in messages. `days_of` asks the evaluator for a
    customer's calendar; without it the inbox shows none. `fetch_seconds`: how long one fetch waits.
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
    fetch_seconds: float = 1.0
