"""Who can be compared, and that no window looks ahead of the outcome."""

from datetime import date

import pytest

from services.commands.discovery.cohort import Cohort, Uses, gather, is_held_out
from services.commands.discovery.counting import count_of
from services.commands.discovery.habits import Anchor
from services.commands.outcomes import Outcome
from shared.events import Profile

FIRST = date(2026, 1, 1).toordinal()


def used(*days: int) -> Uses:
    return {"*": {FIRST + day: 1 for day in days}}


def cohort(uses: Uses, known_after: int | None, *, contract: int | None = None, anchor: Anchor) -> Cohort:
    """One customer beside another one whose use spans days 0 to 200 and who has no outcome."""
    contract_on = None if contract is None else date.fromordinal(FIRST + contract)
    profiles = {"c": Profile(contract_started_on=contract_on), "edges": Profile()}
    known_on = None if known_after is None else FIRST + known_after
    outcomes = {"c": Outcome(stayed=False, known_on=known_on)}
    return gather({"c": uses, "edges": used(0, 200)}, profiles, outcomes, anchor=anchor)


@pytest.mark.parametrize(
    ("known_after", "reach"),
    [
        (None, 90),  # 20 + 90 days are over on day 109, and the data go on to day 200
        (111, 90),
        (110, 90),  # the window's last day is day 109: known the day after
        (109, 60),  # known on the window's last day
        (27, 7),  # days 20 to 26
        (26, 0),
    ],
)
def test_a_window_counts_only_when_it_is_over_before_the_outcome(known_after: int | None, reach: int) -> None:
    found = cohort(used(20, 21), known_after, anchor="first_active_on")
    assert [member.reach for member in found.members] == ([reach] if reach else [])
    if not reach:
        assert found.left_out["without 7 whole days in the data before the outcome"] == 1


@pytest.mark.parametrize(("began", "reach"), [(111, 90), (112, 60), (194, 7), (195, 0)])
def test_a_window_counts_only_when_the_data_hold_all_of_it(began: int, reach: int) -> None:
    found = cohort(used(began), None, anchor="first_active_on")
    assert [member.reach for member in found.members] == ([reach] if reach else [])


def test_what_comes_after_the_window_changes_nothing_in_it() -> None:
    (short,) = cohort(used(20, 25), None, anchor="first_active_on").members
    (long,) = cohort(used(20, 25, 27, 60), None, anchor="first_active_on").members
    assert count_of(short, "*", "events", 7) == count_of(long, "*", "events", 7) == 2
    assert count_of(long, "*", "active_days", 14) == 3


def test_who_may_be_older_than_the_data_is_left_out_unless_the_contract_says_otherwise() -> None:
    assert cohort(used(6), None, anchor="first_active_on").members == ()
    assert cohort(used(7), None, anchor="first_active_on").members != ()
    assert cohort(used(6), None, contract=2, anchor="first_active_on").members != ()
    older = cohort(used(50), None, contract=-1, anchor="first_active_on")
    assert older.left_out["began before the data"] == 1


def test_from_the_contract_s_start_a_customer_without_use_counts_with_none() -> None:
    profiles = {"c": Profile(contract_started_on=date.fromordinal(FIRST + 10))}
    outcomes = {"c": Outcome(stayed=False, known_on=None)}
    found = gather({"edges": used(0, 200)}, profiles, outcomes, anchor="contract_started_on")
    (member,) = found.members
    assert count_of(member, "*", "events", 90) == 0
    assert found.left_out == {"not in the customers file": 1}


def test_days_before_the_contract_began_do_not_count() -> None:
    (member,) = cohort(used(5, 12), None, contract=10, anchor="contract_started_on").members
    assert count_of(member, "*", "active_days", 7) == 1


def test_every_reason_for_leaving_out_has_its_count() -> None:
    profiles = {name: Profile() for name in ("no use", "no outcome", "c")}
    outcomes = {name: Outcome(stayed=True, known_on=None) for name in ("no use", "c")}
    uses = {"no outcome": used(0, 30), "stranger": used(200), "c": used(30)}
    found = gather(uses, profiles, outcomes, anchor="first_active_on")
    assert [member.customer_id for member in found.members] == ["c"]
    assert found.left_out == {
        "without any use": 1,
        "without an outcome": 1,
        "not in the customers file": 1,
    }


def test_halves_are_about_equal_keep_their_members_and_change_with_the_seed() -> None:
    ids = [f"c-{n}" for n in range(2_000)]
    first = {id for id in ids if is_held_out(id, 1)}
    other = {id for id in ids if is_held_out(id, 2)}
    assert 900 < len(first) < 1_100
    assert 400 < len(first & other) < 600
