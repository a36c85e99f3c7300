"""A contract whose first days pass without use."""

from datetime import date

from tests.unit.evaluator.told import Diary, product

RULE = {
    "never-started": {
        "kind": "absence",
        "anchor": "contract_started_on",
        "within_days": 7,
        "emit": "usage.never_started",
    }
}


def contract(read: str = "2026-04-01T10:00", started: date = date(2026, 4, 1)) -> Diary:
    diary = Diary(product(rules=RULE))
    diary.profile(read, contract_started_on=started)
    return diary


def test_it_is_told_when_the_window_has_passed() -> None:
    diary = contract()
    diary.tick("2026-04-08T00:15")
    assert diary.news() == []
    diary.tick("2026-04-08T00:16")
    assert diary.news() == ["usage.never_started 2026-04-07"]


def test_any_use_inside_the_window_is_a_start() -> None:
    diary = contract()
    diary.use("2026-04-07T23:00")
    diary.tick("2026-04-09T00:16")
    assert diary.news() == []


def test_use_before_the_contract_is_no_start() -> None:
    diary = contract(read="2026-03-20T10:00")
    diary.use("2026-03-25T10:00")
    diary.tick("2026-04-08T00:16")
    assert diary.news() == ["usage.never_started 2026-04-07"]


def test_the_first_use_after_it_was_told_ends_it() -> None:
    diary = contract()
    diary.tick("2026-04-08T00:16")
    diary.use("2026-04-10T10:00")
    diary.use("2026-04-11T10:00")
    assert diary.news() == ["usage.never_started 2026-04-07", "usage.resumed 2026-04-10"]


def test_a_late_event_inside_the_window_retracts_it() -> None:
    diary = contract()
    diary.tick("2026-04-08T00:16")
    diary.use("2026-04-03T10:00", read="2026-04-08T09:00")
    assert diary.news() == ["usage.never_started 2026-04-07", "usage.never_started.retracted 2026-04-07"]


def test_a_window_that_had_passed_before_it_was_known_tells_nothing() -> None:
    diary = contract(read="2026-05-01T10:00")
    diary.tick("2026-05-02T00:16")
    assert diary.news() == []


def test_another_contract_is_waited_for_anew() -> None:
    diary = contract()
    diary.tick("2026-04-08T00:16")
    diary.profile("2026-06-01T10:00", contract_started_on=date(2026, 6, 1))
    diary.tick("2026-06-08T00:16")
    assert diary.news() == ["usage.never_started 2026-04-07", "usage.never_started 2026-06-07"]
