"""What the notifier is built of; tests pass fakes for any of it."""

import random

import msgspec

from services.notifier.channels.http import ClientFactory, open_client
from shared.auth import KeyRing
from shared.clock import Clock
from shared.config import Config
from shared.database import Database
from shared.log import Log


class NotifierParts(msgspec.Struct, frozen=True, kw_only=True):
    """The world of one notifier. `public_url` is where CSMs find the inbox, for links in messages."""

    config: Config
    database: Database
    log: Log
    keys: KeyRing
    clock: Clock
    random: random.Random
    open_client: ClientFactory = open_client
    public_url: str | None = None
