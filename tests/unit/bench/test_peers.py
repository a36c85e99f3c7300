"""The peers' job and what they are given to read."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.peers import environment
from bench.peers.programs.job import State, fold
from bench.peers.workload import DAYS, Load, drawn, expected

DAY_US = 86_400_000_000
LOAD = Load(events=4_000, customers=400, midnight_us=20_000 * DAY_US)


def test_the_first_use_begins_a_streak():
    assert fold(None, 10) == (State(10, 1, 1), None)


def test_a_second_use_on_a_day_changes_nothing():
    assert fold(State(10, 4, 7), 10) == (State(10, 4, 7), None)


def test_the_next_day_makes_the_streak_longer():
    assert fold(State(10, 4, 7), 11) == (State(11, 5, 8), None)


def test_a_return_begins_anew_and_tells_the_first_missed_day():
    assert fold(State(10, 4, 7), 13) == (State(13, 1, 8), 11)


def test_everybody_comes_on_the_first_and_the_last_day_so_that_every_stop_has_a_return():
    first, *_, last = drawn(LOAD)
    assert len({name for name, _ in first}) == len({name for name, _ in last}) == LOAD.customers


def test_as_many_events_are_drawn_as_were_asked_for_each_day_in_the_order_of_time():
    days = list(drawn(LOAD))
    assert sum(map(len, days)) == LOAD.events
    for number, uses in enumerate(days, start=20_000 - DAYS):
        instants = [at_us for _, at_us in uses]
        assert instants == sorted(instants)
        assert {at_us // DAY_US for at_us in instants} == {number}


def test_who_stayed_away_for_some_days_has_one_stop_for_them():
    there = Counter(name for uses in drawn(LOAD) for name in {name for name, _ in uses})
    outcome = expected(LOAD)
    assert all(outcome.states[name].active == count for name, count in there.items())
    assert {name for name, _ in outcome.stops} == {name for name, count in there.items() if count < DAYS}


def test_a_peer_that_fails_is_told_with_its_last_line(tmp_path: Path):
    program = tmp_path / "peer.py"
    program.write_text("print('starting')\nraise ValueError('no broker')\n")
    with pytest.raises(RuntimeError, match=r"peer.py ended with 1: ValueError: no broker$"):
        environment.run(str(program), [], seconds_max=60.0, log=tmp_path / "said", python=sys.executable)
