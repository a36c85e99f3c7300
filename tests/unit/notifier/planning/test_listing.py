"""Which windows come first, and how little of each has to be read."""

import pytest

from services.notifier.planning.contact import Contact
from services.notifier.planning.listing import Group, Waiting, helping, parts_of
from tests.unit.notifier.cases import at

NOW = at("2026-03-02T14:15+09:00")


def group(
    window: str | None = None, count: int = 1, waiting: Waiting = "", zone: str = "Asia/Tokyo"
) -> Group:
    contact = Contact(zone=zone, window=window)
    return Group(contact=contact, contact_text=f"{zone} {window}", waiting=waiting, count=count)


def shape(*groups: Group) -> dict[str, list[tuple[list[str], int]]]:
    """Part by part, its stacks: the windows of each, and how many tasks they hold."""
    return {
        part.key: [
            ([text.partition(" ")[2] for text in stack.contact_texts], stack.count) for stack in part.stacks
        ]
        for part in parts_of(groups, NOW)
    }


def test_open_windows_come_in_the_order_in_which_they_close_and_none_at_all_comes_last() -> None:
    assert shape(group(), group("14:00-17:00"), group("14:00-15:00")) == {
        "now": [(["14:00-15:00"], 1), (["14:00-17:00"], 1), (["None"], 1)]
    }


def test_windows_that_close_together_are_one_stack_in_which_surprise_alone_counts() -> None:
    assert shape(group("13:00-17:00", 3), group("14:00-17:00", 4)) == {
        "now": [(["13:00-17:00", "14:00-17:00"], 7)]
    }


def test_what_opens_later_comes_in_the_order_in_which_it_opens_today_before_another_day() -> None:
    assert shape(group("10:00-11:00"), group("18:00-19:00"), group("16:00-17:00")) == {
        "later": [(["16:00-17:00"], 1), (["18:00-19:00"], 1)],
        "days": [(["10:00-11:00"], 1)],
    }


def test_another_day_is_one_by_the_customers_own_calendar() -> None:
    # 14:15 in Tokyo is 00:15 in New York: what opens there at 10:00 opens today.
    assert shape(group("10:00-11:00", zone="America/New_York")) == {"later": [(["10:00-11:00"], 1)]}


def test_held_and_snoozed_calls_stand_apart_whatever_their_windows() -> None:
    found = shape(
        group("14:00-17:00", 2, "held"), group("14:00-17:00", 5, "snoozed"), group(None, 1, "snoozed")
    )
    assert found == {"held": [(["14:00-17:00"], 2)], "snoozed": [(["14:00-17:00", "None"], 6)]}


@pytest.mark.parametrize(
    ("rows_max", "whole", "whole_count", "top_count"),
    [
        (1, [], 0, 1),
        (3, ["14:00-15:00"], 3, 0),
        (5, ["14:00-15:00"], 3, 2),
        (7, ["14:00-15:00", "14:00-17:00"], 7, 0),
        (50, ["14:00-15:00", "14:00-17:00", "None"], 9, 0),
    ],
)
def test_no_more_is_read_than_is_shown(
    rows_max: int, whole: list[str], whole_count: int, top_count: int
) -> None:
    (part,) = parts_of([group(count=2), group("14:00-17:00", 4), group("14:00-15:00", 3)], NOW)
    share = helping(part, rows_max)
    texts = [text.partition(" ")[2] for stack in share.whole for text in stack.contact_texts]
    assert (part.count, texts, share.whole_count, share.top_count) == (9, whole, whole_count, top_count)
    assert (share.top_of is None) == (top_count == 0)
