"""Histories under rules that count, compare, ask for properties and are edited under way, entry by entry."""

import pytest

from tests.histories import CUSTOMER, PRODUCT
from tests.histories_of_rules import counting, edited
from tests.property.compare import check
from tests.property.driver import Driver, told_of
from tests.property.scale import seeds

SLICES = 4


@pytest.mark.parametrize("part", range(SLICES))
def test_engine_and_oracle_tell_the_same_of_counts_and_declines(part: int) -> None:
    for seed in seeds(320, share=0.5)[part::SLICES]:
        check(counting(seed))


@pytest.mark.parametrize("part", range(SLICES))
def test_they_tell_the_same_where_rules_are_edited(part: int) -> None:
    for seed in seeds(320, share=0.5)[part::SLICES]:
        check(edited(seed))


def test_days_of_which_nothing_could_be_told_need_no_sweep() -> None:
    """What counts and declines say does not depend on how often they are asked."""
    for seed in seeds(80, share=0.05):
        history = counting(seed)
        assert told_of(history) == told_of(history, settles_always=True), f"seed {seed}"


def test_no_edit_tells_again_what_was_told() -> None:
    """An id is told once, and a rule that is told once a customer is told once under whatever edit."""
    for seed in seeds(160, share=0.1):
        history = edited(seed)
        driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=history.section)
        told = [t for entry in history.log for t in driver.read(entry)]
        if driver.is_erased:
            continue
        ids = [trigger.id for trigger in told]
        assert len(ids) == len(set(ids)), f"seed {seed}"
        counts = [name for name, rule in history.section.rules.items() if rule.kind == "count"]
        once = [trigger.data.rule for trigger in told if trigger.data.rule in counts]
        assert len(once) == len(set(once)), f"seed {seed}"
