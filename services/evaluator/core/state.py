"""What is kept of one customer: its days, what each rule has settled and told, and when to look again.

Nothing here is ever part of a cycle (`gc=False`), so the garbage collector need not look for one.
"""

from functools import lru_cache
from typing import Any

import msgspec

from services.evaluator.core import days
from services.evaluator.core.filters import EVERY_EVENT
from services.evaluator.core.rules import Settings
from shared.events import Profile


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """Settings whose clock runs from an instant on, and whose calendar holds from a usage day on.

    `from_us` None: ever since.
    """

    from_us: int | None
    settings: Settings
    from_day: int = 0


class StreakState(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """The days on which a streak rule was told; `told` outlives them where it is told once."""

    told: tuple[int, ...] = ()


class Stop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stop that was told: its missed day, the first missed day of its episode, as what it was told.

    The type stands here because its rule may be told to emit another one before the customer is back.
    """

    day: int
    episode: int
    type: str
    resumed: bool = False


class AbsenceState(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """`settled`: the last day judged. `told_from`: the first day whose stop may be told.
    `missed`: the days settled as missed, as a set with the customer's base.
    """

    settled: int
    told_from: int
    missed: int = 0
    told: tuple[Stop, ...] = ()


class NeverStartedState(msgspec.Struct, frozen=True, array_like=True, tag="n", gc=False):
    """`contract_on`: the first day of the contract it was armed for; `known_us`: since when that is known.

    `stage`: waiting, told, over. `told`: the last day of the window that was told, and as what.
    """

    contract_on: int
    known_us: int
    stage: str = "waiting"
    told: tuple[int, str] | None = None


class CountState(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """`anchor_on`: the first day of the window, known since `known_us`; None while nobody has told it.

    `watched_from`: the first day whose every event was looked at. `counted`: usage day and hash of the id of
    each event that may lie in the window (None where days are counted). `stage`: waiting, told, over.
    """

    anchor_on: int | None
    known_us: int
    watched_from: int = 0
    counted: tuple[tuple[int, int], ...] | None = ()
    stage: str = "waiting"


class DeclineState(msgspec.Struct, frozen=True, array_like=True, tag="d", gc=False):
    """`settled`: the last day judged, `is_down`: as what; `told_from`: the first day that may be told."""

    settled: int
    told_from: int
    is_down: bool = False


RuleState = StreakState | AbsenceState | NeverStartedState | CountState | DeclineState


class CustomerState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`active`: for each filter the set of active days, bit 0 = the day `base`.

    `due_us`: once the watermark has passed it, the customer has to be settled; None: nothing can be
    told before the next record of this customer. `rule_keys`: the rules as they were when last asked.
    """

    profile: Profile
    segments: tuple[Segment, ...]
    cut_short: tuple[int, ...] = ()
    base: int = 0
    active: dict[str, int] = {}
    rules: dict[str, RuleState] = {}
    due_us: int | None = None
    product_key: str = ""
    rule_keys: tuple[int, ...] = ()


def segment_at(state: CustomerState, us: int) -> Segment:
    """The settings in force at an instant."""
    if len(state.segments) == 1:
        return state.segments[0]
    for segment in reversed(state.segments):
        if segment.from_us is None or segment.from_us <= us:
            return segment
    return state.segments[0]


def contract_day(state: CustomerState) -> int | None:
    """The first day of the customer's contract, as far as it was told."""
    contract_on = state.profile.contract_started_on
    return None if contract_on is None else contract_on.toordinal()


def first_active_day(state: CustomerState) -> int | None:
    """The customer's first usage day with any event."""
    active = state.active.get(EVERY_EVENT, 0)
    return state.base + days.lowest(active) if active else None


class _Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A CustomerState as bytes: sets of days as little-endian bytes, for integers have no width here."""

    profile: Profile
    segments: msgspec.Raw
    cut_short: tuple[int, ...]
    base: int
    active: dict[str, bytes]
    rules: dict[str, RuleState]
    missed: dict[str, bytes]
    due_us: int | None
    product_key: str
    rule_keys: tuple[int, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Stored] = msgspec.msgpack.Decoder(_Stored)
_segments_decoder = msgspec.msgpack.Decoder(tuple[Segment, ...])


@lru_cache(4096)
def _segments_as_stored(segments: tuple[Segment, ...]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(segments))


@lru_cache(4096)
def _segments_of(stored: bytes) -> tuple[Segment, ...]:
    """One value for all who have the same settings: most customers have their product's."""
    return _segments_decoder.decode(stored)


def encode_state(state: CustomerState) -> bytes:
    """The state as msgpack, some 150 bytes a customer and 100 a year."""
    rules, missed = state.rules, _missed(state)
    if missed:
        rules = {name: _with_missed(rule, 0) if name in missed else rule for name, rule in rules.items()}
    return _encoder.encode(
        _Stored(
            state.profile,
            _segments_as_stored(state.segments),
            state.cut_short,
            state.base,
            {key: days.to_bytes(bits) for key, bits in state.active.items()},
            rules,
            missed,
            state.due_us,
            state.product_key,
            state.rule_keys,
        )
    )


def decode_state(value: bytes) -> CustomerState:
    """The state that `encode_state` wrote; raises msgspec.DecodeError on anything else."""
    stored = _decoder.decode(value)
    rules = stored.rules
    for name, bits in stored.missed.items():
        rules[name] = _with_missed(rules[name], days.from_bytes(bits))
    return CustomerState(
        profile=stored.profile,
        segments=_segments_of(bytes(stored.segments)),
        cut_short=stored.cut_short,
        base=stored.base,
        active={key: days.from_bytes(bits) for key, bits in stored.active.items()},
        rules=rules,
        due_us=stored.due_us,
        product_key=stored.product_key,
        rule_keys=stored.rule_keys,
    )


def _missed(state: CustomerState) -> dict[str, bytes]:
    """The missed days of the rules that have any."""
    return {
        name: days.to_bytes(rule.missed)
        for name, rule in state.rules.items()
        if isinstance(rule, AbsenceState) and rule.missed
    }


def _with_missed(rule: Any, missed: int) -> AbsenceState:
    return AbsenceState(rule.settled, rule.told_from, missed, rule.told)
