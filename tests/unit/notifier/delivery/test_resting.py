"""When a channel may be tried: after failures in a row, after a Retry-After, after it was disabled."""

import msgspec
import pytest

from services.notifier.channels.channel import Result
from services.notifier.delivery import resting
from services.notifier.delivery.resting import FAILURES_MAX, ChannelState, is_resting, room
from tests.unit.notifier.cases import NOON

SECOND = 1_000_000
FAILED = Result(verdict="retry", detail="500")
FINE = Result(verdict="delivered")
NEW = ChannelState(channel="phone")


def after(state: ChannelState, result: Result, at_us: int) -> ChannelState:
    """An attempt that took no time."""
    return resting.after(state, result, begun_us=at_us, now_us=at_us)


def failing(count: int, at_us: int = NOON) -> ChannelState:
    state = NEW
    for _ in range(count):
        state = after(state, FAILED, at_us)
    return state


def test_a_few_failures_in_a_row_are_no_reason_to_rest() -> None:
    state = failing(FAILURES_MAX - 1)
    assert not is_resting(state, NOON)
    assert room(state, 10, NOON) == 10


def test_so_many_failures_in_a_row_give_it_a_rest_and_then_one_probe() -> None:
    state = failing(FAILURES_MAX)
    assert room(state, 10, NOON + 5 * SECOND - 1) == 0
    assert room(state, 10, NOON + 5 * SECOND) == 1
    assert state.reason == "500"


def test_what_was_under_way_when_the_rest_began_does_not_make_it_longer() -> None:
    state = failing(FAILURES_MAX)
    for seconds in (0, 3, 15):  # also where it ends only after the rest
        late_us = NOON + seconds * SECOND
        assert resting.after(state, FAILED, begun_us=NOON, now_us=late_us) == state


def test_each_probe_in_vain_doubles_the_rest_up_to_a_minute() -> None:
    state, rests = failing(FAILURES_MAX), []
    for _ in range(6):
        begun_us = state.rests_until_us or 0
        state = after(state, FAILED, begun_us)
        rests.append(((state.rests_until_us or 0) - begun_us) // SECOND)
    assert rests == [10, 20, 40, 60, 60, 60]


def test_a_place_that_was_booked_for_a_probe_does_not_keep_the_rest_short() -> None:
    begun_us = NOON + 5 * SECOND
    booked = msgspec.structs.replace(failing(FAILURES_MAX), rests_until_us=begun_us + SECOND)
    assert after(booked, FAILED, begun_us) == after(failing(FAILURES_MAX), FAILED, begun_us)


@pytest.mark.parametrize("answer", [FINE, Result(verdict="dead", detail="400 no such customer")])
def test_an_answer_of_any_kind_ends_the_row(answer: Result) -> None:
    state = after(failing(FAILURES_MAX + 1), answer, NOON)
    assert state == NEW


def test_a_failure_between_answers_is_forgotten() -> None:
    state = failing(FAILURES_MAX - 1)
    assert failing(1) == after(after(state, FINE, NOON), FAILED, NOON)


def test_retry_after_rests_the_whole_channel_and_is_no_failure() -> None:
    state = after(NEW, Result(verdict="retry", retry_after_seconds=30), NOON)
    assert (state.failure_count, room(state, 10, NOON + 30 * SECOND - 1)) == (0, 0)
    assert room(state, 10, NOON + 30 * SECOND) == 10


def test_a_retry_after_of_a_year_is_an_hour() -> None:
    state = after(NEW, Result(verdict="retry", retry_after_seconds=31_536_000), NOON)
    assert state.rests_until_us == NOON + 3600 * SECOND


def test_a_disabled_channel_stays_so_whatever_arrives_late() -> None:
    state = after(NEW, Result(verdict="disabled", detail="is_archived"), NOON)
    assert (state.disabled_us, state.reason, room(state, 10, NOON + 10**12)) == (NOON, "is_archived", 0)
    for late in (FINE, FAILED, Result(verdict="disabled", detail="410")):
        assert after(state, late, NOON + 1) == state


def test_the_interval_of_a_channel_that_is_well_is_kept() -> None:
    booked = ChannelState(channel="cs-slack", rests_until_us=NOON + SECOND)
    assert after(booked, FINE, NOON) == booked
    assert after(after(booked, FAILED, NOON), FINE, NOON) == booked
