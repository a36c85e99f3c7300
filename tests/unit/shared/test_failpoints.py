"""Failpoints strike at the n-th hit of their own name, and are refused when misspelt."""

import signal
from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.failpoints import POINTS, Failpoint

REPOSITORY = Path(__file__).parents[3]


def strikes_of(spec: str, hits: list[str]) -> list[signal.Signals]:
    struck: list[signal.Signals] = []
    failpoint = Failpoint(spec, struck.append)
    for name in hits:
        failpoint.reached(name)
    return struck


def test_it_strikes_once_at_the_nth_hit_of_its_own_name() -> None:
    hits = ["relay.read", "ticker.sent", "relay.read", "relay.read"]
    assert strikes_of("relay.read:1", hits[:1]) == [signal.SIGKILL]
    assert strikes_of("relay.read:2", hits) == [signal.SIGKILL]
    assert strikes_of("relay.read:4", hits) == []


def test_it_can_freeze_instead_of_kill() -> None:
    assert strikes_of("relay.read:1:stop", ["relay.read"]) == [signal.SIGSTOP]


@pytest.mark.parametrize("spec", ["relay.reed:1", "relay.read", "relay.read:x", "relay.read:1:burn", ""])
def test_a_misspelt_one_is_refused(spec: str) -> None:
    with pytest.raises(SetupError):
        Failpoint(spec, lambda _: None)


def test_no_name_is_given_twice() -> None:
    assert len(set(POINTS)) == len(POINTS)
