"""What is kept of one customer: its days, what each rule has settled and told, and when to look again."""

from typing import Any

import msgspec

from services.evaluator import days
from services.evaluator.rules import Settings
from shared.events import Profile


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """Settings whose clock runs from an instant on, and whose calendar holds from a usage day on.

    `from_us` None: ever since.
    """

    from_us: int | None
    settings: Settings
    from_day: int = 0


class StreakState(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The days on which a streak rule was told; `told` outlives them where it is told once."""

    told: tuple[int, ...] = ()


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """A stop that was told: its missed day, the first missed day of its episode, whether use resumed."""

    day: int
    episode: int
    resumed: bool = False


class AbsenceState(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """`settled`: the last day judged. `told_from`: the first day whose stop may be told.
    `missed`: the days settled as missed, as a set with the customer's base.
    """

    settled: int
    told_from: int
    missed: int = 0
    told: tuple[Stop, ...] = ()


class NeverStartedState(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """`contract_on`: the first day of the contract it was armed for; `known_us`: since when that is known.

    `stage`: waiting, told, over.
    """

    contract_on: int
    known_us: int
    stage: str = "waiting"


RuleState = StreakState | AbsenceState | NeverStartedState


class CustomerState(msgspec.Struct, frozen=True, kw_only=True):
    """`active`: for each filter the set of active days, bit 0 = the day `base`.

    `due_us`: once the watermark has passed it, the customer has to be settled; None: nothing can be
    told before the next record of this customer.
    """

    profile: Profile
    segments: tuple[Segment, ...]
    cut_short: tuple[int, ...] = ()
    base: int = 0
    active: dict[str, int] = {}
    rules: dict[str, RuleState] = {}
    due_us: int | None = None
    product_key: str = ""


def segment_at(state: CustomerState, us: int) -> Segment:
    """The settings in force at an instant."""
    for segment in reversed(state.segments):
        if segment.from_us is None or segment.from_us <= us:
            return segment
    return state.segments[0]


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A CustomerState as bytes: sets of days as little-endian bytes, for integers have no width here."""

    profile: Profile
    segments: tuple[Segment, ...]
    cut_short: tuple[int, ...]
    base: int
    active: dict[str, bytes]
    rules: dict[str, RuleState]
    missed: dict[str, bytes]
    due_us: int | None
    product_key: str


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Stored] = msgspec.msgpack.Decoder(_Stored)


def encode_state(state: CustomerState) -> bytes:
    """The state as msgpack, some 150 bytes a customer and 100 a year."""
    missed = {
        name: days.to_bytes(rule.missed)
        for name, rule in state.rules.items()
        if isinstance(rule, AbsenceState) and rule.missed
    }
    rules = {name: _with_missed(rule, 0) if name in missed else rule for name, rule in state.rules.items()}
    return _encoder.encode(
        _Stored(
            state.profile,
            state.segments,
            state.cut_short,
            state.base,
            {key: days.to_bytes(bits) for key, bits in state.active.items()},
            rules,
            missed,
            state.due_us,
            state.product_key,
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
        segments=stored.segments,
        cut_short=stored.cut_short,
        base=stored.base,
        active={key: days.from_bytes(bits) for key, bits in stored.active.items()},
        rules=rules,
        due_us=stored.due_us,
        product_key=stored.product_key,
    )


def _with_missed(rule: Any, missed: int) -> AbsenceState:
    return AbsenceState(rule.settled, rule.told_from, missed, rule.told)
