"""Thousands of drawn histories through oracle and engine: every field of every trigger, entry by entry."""

import pytest

from shared.triggers import encode_trigger
from tests.histories import CUSTOMER, PRODUCT, drawn, habitual
from tests.property.compare import check
from tests.property.driver import Driver, told_of
from tests.property.judgement import FromHistory
from tests.property.scale import seeds

SLICES = 10


@pytest.mark.parametrize("part", range(SLICES))
def test_engine_and_oracle_tell_the_same_of_every_history(part: int) -> None:
    for seed in seeds(800)[part::SLICES]:
        check(drawn(seed))


@pytest.mark.parametrize("part", range(2))
def test_they_tell_the_same_where_weekdays_are_learned_and_misses_weighed(part: int) -> None:
    for seed in seeds(30, share=0.05)[part::2]:
        check(habitual(seed), FromHistory())


def test_replay_tells_the_same_byte_for_byte() -> None:
    for seed in seeds(25, share=0.02):
        history = drawn(seed)
        runs = [[encode_trigger(trigger) for trigger in told_of(history)] for _ in range(2)]
        assert runs[0] == runs[1], f"seed {seed}"


def test_settling_when_nothing_is_due_changes_nothing_that_is_told() -> None:
    """The sweep may come as often as it likes: `due_us` only spares the work."""
    for seed in seeds(40, share=0.02):
        history = drawn(seed)
        assert told_of(history) == told_of(history, settles_always=True), f"seed {seed}"


def test_every_trigger_told_has_an_id_of_its_own() -> None:
    for seed in seeds(80, share=0.05):
        history = drawn(seed)
        driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=history.section)
        seen: set[str] = set()
        for entry in history.log:
            for trigger in driver.read(entry):
                again = encode_trigger(trigger).decode()
                assert driver.is_erased or trigger.id not in seen, f"seed {seed}: {again} twice"
                seen.add(trigger.id)
