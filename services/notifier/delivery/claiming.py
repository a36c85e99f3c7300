"""Takes what is due and may go out: channel by channel, as each has room, and in the parcels that it takes.

A parcel is what goes out in one message: one letter, or the several of a digest.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.channels.channel import Pace
from services.notifier.delivery import channel_rows, outgoing, resting
from services.notifier.delivery.bundling import next_message
from services.notifier.delivery.outgoing import Claim, Mark
from services.notifier.delivery.posting import LEASE_US, verdict_on
from services.notifier.delivery.resting import ChannelState
from services.notifier.messages.letter import Letter
from shared.config import Channel
from shared.metrics import CHANNEL_DISABLED, CHANNEL_FAILING

Parcel = tuple[Letter, ...]


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken. `more`: channels for which more may be due than they had room for.

    `again_us`: the instant at which a channel that has to wait may be tried again.
    """

    parcels: tuple[Parcel, ...] = ()
    states: Mapping[str, ChannelState] = {}
    more: frozenset[str] = frozenset()
    again_us: int | None = None


async def claim_due(
    connection: AsyncConnection,
    sections: Mapping[str, Channel],
    paces: Mapping[str, Pace],
    room_of: Callable[[str], int],
    now_us: int,
) -> Claimed:
    """Claims for this sender; puts away at once what must not be sent, and what no channel takes."""
    due = await outgoing.due_channels(connection, now_us)
    if not due:
        return Claimed()
    states = await channel_rows.states(connection)
    _show(states.values())
    rooms: dict[str, int] = {}
    parcels: list[Parcel] = []
    waits: list[int] = []
    for channel in due:
        state = states.get(channel) or ChannelState(channel=channel)
        if reason := _closed(state, paces):
            await outgoing.bury(connection, channel, reason, now_us=now_us)
        elif state.rests_until_us is not None and resting.is_resting(state, now_us):
            waits.append(state.rests_until_us)
        elif (pace := paces[channel]).every_us:
            waits.append(now_us + pace.every_us)
            if room_of(channel):
                parcels += await _next_message(connection, sections, channel, pace, now_us)
        else:
            rooms[channel] = resting.room(state, room_of(channel), now_us)
    claims = await outgoing.claim(connection, rooms, now_us=now_us, lease_us=LEASE_US)
    parcels += _parcels(await _letters(connection, sections, claims, now_us))
    taken = Counter(claim.delivery.channel for claim in claims)
    return Claimed(
        parcels=tuple(parcels),
        states=states,
        more=frozenset(channel for channel, room in rooms.items() if 0 < room == taken[channel]),
        again_us=min(waits, default=None),
    )


def _parcels(letters: Iterable[Letter]) -> list[Parcel]:
    """A message each; but what is beyond a CSM's calls for the day is told of in one."""
    digests: defaultdict[tuple[str, str | None], list[Letter]] = defaultdict(list)
    singles: list[Parcel] = []
    for letter in letters:
        if letter.delivery.kind == "digest":
            digests[letter.delivery.channel, letter.task.owner].append(letter)
        else:
            singles.append((letter,))
    return [*singles, *map(tuple, digests.values())]


def _closed(state: ChannelState, paces: Mapping[str, Pace]) -> str:
    """Why nothing goes through a channel; empty where it is open."""
    if state.channel not in paces:
        return f"the configuration has no channel {state.channel!r}"
    return f"the channel is disabled: {state.reason}" if state.disabled_us is not None else ""


def _show(states: Iterable[ChannelState]) -> None:
    for state in states:
        CHANNEL_DISABLED.labels(state.channel).set(state.disabled_us is not None)
        CHANNEL_FAILING.labels(state.channel).set(state.is_failing)


async def _next_message(
    connection: AsyncConnection, sections: Mapping[str, Channel], channel: str, pace: Pace, now_us: int
) -> list[Parcel]:
    """The one message that a channel with an interval takes now, whoever else would like to send it."""
    if not await channel_rows.book(connection, channel, now_us=now_us, until_us=now_us + pace.every_us):
        return []
    waiting = await outgoing.waiting(connection, channel, now_us=now_us, count_max=pace.letters_max)
    chosen = next_message(waiting, pace.letters_max)
    claims = await outgoing.claim_these(connection, channel, chosen, now_us=now_us, lease_us=LEASE_US)
    letters = await _letters(connection, sections, claims, now_us)
    if letters and (reference := letters[0].delivery.reference):
        shown = tuple(filter(None, map(letter_of, await outgoing.shown(connection, channel, reference))))
        letters = [msgspec.structs.replace(letter, shown=shown) for letter in letters]
    return [tuple(letters)] if letters else []


async def _letters(
    connection: AsyncConnection, sections: Mapping[str, Channel], claims: Sequence[Claim], now_us: int
) -> list[Letter]:
    letters, marks = sorted_out(claims, sections, now_us)
    await outgoing.record(connection, marks, ())
    return letters


def sorted_out(
    claims: Iterable[Claim], sections: Mapping[str, Channel], now_us: int
) -> tuple[list[Letter], list[Mark]]:
    """What is to be sent, and what is put away unsent."""
    letters, marks = [], []
    for claim in claims:
        mark = verdict_on(claim, sections[claim.delivery.channel], now_us)
        if mark is not None:
            marks.append(mark)
        elif (letter := letter_of(claim)) is not None:
            letters.append(letter)
    return letters, marks


def letter_of(claim: Claim) -> Letter | None:
    """The letter of a claim; None where its customer was erased."""
    if claim.task is None or claim.trigger is None:
        return None
    return Letter(
        delivery=claim.delivery,
        task=claim.task,
        trigger=claim.trigger,
        value=claim.value,
        traceparent=claim.traceparent,
    )
