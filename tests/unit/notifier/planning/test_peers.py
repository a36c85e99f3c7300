"""Peers: many stops on one day wait for the days after it."""

from services.notifier.planning.peers import common_cause, release_day


def test_one_customer_in_twenty_stopping_on_one_day_has_a_common_cause() -> None:
    assert common_cause(stopped_count=10, watched_count=200)
    assert not common_cause(stopped_count=9, watched_count=200)


def test_a_few_stops_of_a_small_product_are_no_common_cause() -> None:
    assert not common_cause(stopped_count=4, watched_count=20)
    assert common_cause(stopped_count=5, watched_count=20)


def test_a_stop_on_an_ordinary_day_is_called_at_once() -> None:
    assert release_day(100, {99, 101}) == 100


def test_a_stop_on_a_common_day_waits_for_two_ordinary_days() -> None:
    assert release_day(100, {100}) == 102


def test_a_cause_of_several_days_holds_its_stops_until_it_is_over() -> None:
    # Common on 100, 101 and 103: the two ordinary days in a row are 104 and 105.
    assert release_day(100, {100, 101, 103}) == 105


def test_no_cause_holds_a_call_for_more_than_two_weeks() -> None:
    assert release_day(100, range(100, 200)) == 114
