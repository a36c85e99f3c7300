"""Whether a channel may be tried now: its pace, a receiver's Retry-After, and a rest after failures in a row.

    closed, failures below the bound -> so many failures in a row -> rests, twice as long each time
      rest is over -> one probe -> it is answered: as before; it is not: rests again

An answer of any kind ends the row: who says no is there. What has said that it wants no more (`disabled`)
is not tried until somebody enables it.
"""

import msgspec

from services.notifier.channels.channel import Result
from services.notifier.delivery.retry import RETRY_AFTER_SECONDS_MAX

FAILURES_MAX = 5
"""So many attempts in a row without an answer worth having, and the channel is given a rest."""

REST_SECONDS = 5
REST_SECONDS_MAX = 60
"""A receiver that is back is found within a minute: a call is for today."""


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a channel: disabled, failing, or not to be tried before an instant."""

    channel: str
    disabled_us: int | None = None
    reason: str = ""
    failure_count: int = 0
    rests_until_us: int | None = None

    @property
    def is_failing(self) -> bool:
        """So many failures in a row that only a probe goes out, now and then."""
        return self.failure_count >= FAILURES_MAX


def is_resting(state: ChannelState, now_us: int) -> bool:
    """Whether nothing may be tried yet."""
    return state.rests_until_us is not None and state.rests_until_us > now_us


def room(state: ChannelState, room_max: int, now_us: int) -> int:
    """How many may be tried now: none, a probe, or as many as there is room for."""
    if state.disabled_us is not None or is_resting(state, now_us):
        return 0
    return min(1, room_max) if state.is_failing else room_max


def after(state: ChannelState, result: Result, *, begun_us: int, now_us: int) -> ChannelState:
    """What an attempt's result says of its channel; the same state where it says nothing new."""
    if result.verdict == "disabled":
        return _disabled(state, result.detail, now_us)
    if result.verdict == "unwanted" or state.disabled_us is not None:
        return state
    if result.verdict != "retry":
        return _answered(state)
    if result.retry_after_seconds is not None:
        return _asked_to_wait(state, result.retry_after_seconds, now_us)
    return _failed(state, result.detail, begun_us, now_us)


def _disabled(state: ChannelState, reason: str, now_us: int) -> ChannelState:
    if state.disabled_us is not None:
        return state
    return ChannelState(channel=state.channel, disabled_us=now_us, reason=reason)


def _answered(state: ChannelState) -> ChannelState:
    if state.failure_count == 0:
        return state
    until_us = None if state.is_failing else state.rests_until_us
    return ChannelState(channel=state.channel, rests_until_us=until_us)


def _asked_to_wait(state: ChannelState, seconds: float, now_us: int) -> ChannelState:
    until_us = now_us + int(min(seconds, RETRY_AFTER_SECONDS_MAX) * 1_000_000)
    return msgspec.structs.replace(state, rests_until_us=max(until_us, state.rests_until_us or 0))


def _failed(state: ChannelState, reason: str, begun_us: int, now_us: int) -> ChannelState:
    if state.is_failing and begun_us <= (state.rests_until_us or 0) - _rest_us(state.failure_count):
        return state  # It was under way when the rest began; the rest is not made longer by it.
    count = state.failure_count + 1
    until_us = now_us + _rest_us(count) if count >= FAILURES_MAX else state.rests_until_us
    return ChannelState(channel=state.channel, reason=reason, failure_count=count, rests_until_us=until_us)


def _rest_us(failure_count: int) -> int:
    """How long it rests after so many failures in a row."""
    return min(REST_SECONDS << min(failure_count - FAILURES_MAX, 16), REST_SECONDS_MAX) * 1_000_000
