"""Chooses what the next message of a channel with an interval says, so that nothing waits behind its pace."""

from collections.abc import Sequence

import msgspec

from services.notifier.tasks.announce import ENDS, Kind

SINGLES_MAX = 3
"""So few go out one by one, each with its buttons: the last of them leaves two intervals after the first."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is due; `reference`: the message that it is to change, empty for none.

    `owner` is whose task it is about.
    """

    id: str
    kind: Kind
    reference: str
    owner: str = ""

    @property
    def changes(self) -> str:
        """The message that it changes; empty for a new one."""
        return self.reference if self.kind in ENDS else ""


def next_message(waiting: Sequence[Waiting], letters_max: int) -> tuple[str, ...]:
    """The ids of what goes out together, the longest due first.

    New announcements come before changes: a call is for now. A few go one by one, more of them in one
    digest. What is beyond a CSM's calls for the day comes after the calls, each CSM's in one message. All
    that is waiting for one message goes into one change of it.
    """
    new = [one for one in waiting if not one.changes]
    calls = [one.id for one in new if one.kind != "digest"]
    if calls:
        return tuple(calls[: letters_max if len(calls) > SINGLES_MAX else 1])
    if new:
        return tuple(one.id for one in new if one.owner == new[0].owner)[:letters_max]
    return tuple(one.id for one in waiting if one.changes == waiting[0].changes)
