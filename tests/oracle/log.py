"""A log as the oracle and the driver read it: entries in order, each with the log's own append time."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.config import ProductSection
from shared.events import Message


@dataclass(frozen=True)
class Entry:
    """One record of a partition, or (a `ProductSection`) a restart with other rules at that place."""

    appended_us: int
    message: Message | ProductSection


Log = Sequence[Entry]
