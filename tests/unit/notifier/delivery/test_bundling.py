"""What goes out in the next message of a channel that takes one a second."""

from services.notifier.delivery.bundling import SINGLES_MAX, Waiting, next_message


def new(count: int) -> list[Waiting]:
    return [Waiting(id=f"n-{n}", kind="opened", reference="") for n in range(count)]


def change(id: str, reference: str) -> Waiting:
    return Waiting(id=id, kind="changed", reference=reference)


def test_nothing_waits_and_nothing_is_said() -> None:
    assert next_message([], 250) == ()


def test_a_few_go_one_by_one_each_with_its_buttons() -> None:
    for count in range(1, SINGLES_MAX + 1):
        assert next_message(new(count), 250) == ("n-0",)


def test_more_than_a_few_go_in_one_digest() -> None:
    assert next_message(new(SINGLES_MAX + 1), 250) == ("n-0", "n-1", "n-2", "n-3")


def test_a_digest_has_so_many_letters_at_the_most() -> None:
    assert len(next_message(new(1000), 250)) == 250


def test_a_new_call_comes_before_changes_of_old_messages() -> None:
    assert next_message([change("c", "C1/1"), *new(1)], 250) == ("n-0",)


def test_all_that_waits_for_one_message_is_one_change_of_it() -> None:
    waiting = [change("a", "C1/1"), change("b", "C1/2"), change("c", "C1/1")]
    assert next_message(waiting, 250) == ("a", "c")


def test_an_end_whose_message_is_unknown_is_said_anew() -> None:
    assert next_message([Waiting(id="e", kind="closed", reference="")], 250) == ("e",)
