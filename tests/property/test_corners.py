"""Corners that drawn histories have led into, each as the shortest story that shows it."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.histories import CUSTOMER, PRODUCT, Story, section
from tests.property.driver import Driver
from tests.property.readers import READERS, Reader, by_oracle, told


@pytest.fixture(params=list(READERS.values()), ids=list(READERS))
def read(request: pytest.FixtureRequest) -> Reader:
    reader: Reader = request.param
    return reader


def absence(**settings: Any) -> dict[str, Any]:
    return {"kind": "absence", **settings}


def silent_days(story: Story, first: date, last: date) -> Story:
    """A tick soon after the end of each day."""
    day = first
    while day <= last:
        story.tick(f"{day + timedelta(days=1)} 00:16")
        day += timedelta(days=1)
    return story


def test_a_silence_told_to_its_end_is_counted_on_while_another_rule_still_waits(read: Reader) -> None:
    """The one with reminders is due at 14:15, the one without has the 8th to settle all the same."""
    product = section({"plain": absence(), "reminding": absence(cutoff="14:00", again_after_days=[9])})
    story = Story().daily("2026-03-01", "2026-03-03")
    for day in range(5, 9):
        story.tick(f"2026-03-{day:02} 00:16").tick(f"2026-03-{day:02} 14:16")
    resumed = read(story.tick("2026-03-09 00:16").use("2026-03-09 09:00"), product)[-2:]
    assert [(t.data.rule, t.data.missed_days) for t in resumed] == [("plain", 5), ("reminding", 5)]


def test_a_silence_that_backfill_leaves_behind_is_told_at_the_next_day_missed(read: Reader) -> None:
    """The stop of the 4th moves nowhere: the customer was there on the 5th, and is away since."""
    story = silent_days(Story().daily("2026-03-01", "2026-03-03"), date(2026, 3, 4), date(2026, 3, 6))
    story.use("2026-03-04 15:00", read="2026-03-07 09:00", backfill=True).tick("2026-03-08 00:16")
    assert told(read(story, section({"stop": absence(cutoff="14:00")}))) == [
        ("usage.stopped", "2026-03-04"),
        ("usage.resumed", "2026-03-04"),
        ("usage.stopped", "2026-03-05"),
    ]


def test_history_that_ends_a_told_silence_resumes_it(read: Reader) -> None:
    story = silent_days(Story().daily("2026-03-01", "2026-03-03"), date(2026, 3, 4), date(2026, 3, 6))
    story.use("2026-03-06 12:00", read="2026-03-07 09:00", backfill=True)
    stop, resumed = read(story.use("2026-03-07 10:00"), section({"stop": absence()}))
    assert (resumed.type, resumed.data.day, resumed.data.missed_days) == (
        "usage.resumed",
        date(2026, 3, 6),
        2,
    )
    assert resumed.data.stopped_id == stop.id


def test_a_stop_told_long_ago_is_not_told_again_when_a_late_use_shortens_its_silence(read: Reader) -> None:
    """Stopped on 4 January, back on 1 March; the use of 28 February comes three days late."""
    story = silent_days(Story().daily("2026-01-01", "2026-01-03"), date(2026, 1, 4), date(2026, 2, 28))
    story.use("2026-03-01 09:00").tick("2026-03-03 00:16")
    story.use("2026-02-28 12:00", read="2026-03-03 11:00").tick("2026-03-03 12:00")
    assert told(read(story, section({"stop": absence()}))) == [
        ("usage.stopped", "2026-01-04"),
        ("usage.resumed", "2026-03-01"),
        ("usage.stopped", "2026-03-02"),
    ]


def test_a_day_cut_short_by_a_change_holds_up_no_later_day(read: Reader) -> None:
    """St John's to Berlin: 7 October is cut short, and the 8th is due at 23:00Z of the 7th."""
    product = section(
        {"stop": absence(cutoff="01:00", grace="0s")}, time_zone="America/St_Johns", day_starts_at="23:00"
    )
    story = (
        Story()
        .use("2010-10-06 16:29")
        .profile("2010-10-06 22:43", time_zone="Europe/Berlin", day_starts_at="00:00")
    )
    assert told(read(story.tick("2010-10-07 23:01"), product)) == [("usage.stopped", "2010-10-08")]


def test_days_left_to_settle_are_judged_by_the_calendar_they_had(read: Reader) -> None:
    """No tick for a week, and two changes of calendar meanwhile; the first one was closed on Mondays."""
    product = section({"stop": absence()}, late_window="2d")
    story = Story().profile("2026-03-06 08:00", calendar={"closed_weekdays": (0,)})
    story.use("2026-03-07 12:00").use("2026-03-08 12:00").use("2026-03-10 12:00")
    story.profile("2026-03-12 09:00", calendar={"closed_weekdays": (2,)})
    story.profile("2026-03-15 20:00", calendar={"closed_weekdays": (3,)})
    assert told(read(story.tick("2026-03-16 00:16"), product))[0] == ("usage.stopped", "2026-03-11")


def test_use_after_the_cutoff_read_twice_changes_nothing(read: Reader) -> None:
    """The second stop may not be told, being history of an import; a duplicate is no reason to tell it."""
    product = section({"stop": absence(cutoff="05:00")})
    story = Story().use("2026-11-05 02:20").tick("2026-11-07 18:50")
    story.use("2026-11-07 20:11").use("2026-11-06 16:40", read="2026-11-22 20:00", backfill=True)
    once = read(story, product)
    assert read(story.use("2026-11-07 20:11", read="2026-11-24 05:00"), product) == once


def test_a_streak_that_an_excused_day_made_whole_counts_as_told_when_the_rule_comes_later(
    read: Reader,
) -> None:
    after = section({"month": {"kind": "streak", "days": 6}})
    story = Story().daily("2026-03-01", "2026-03-03").daily("2026-03-05", "2026-03-07")
    story.excuse("2026-03-04", read="2026-03-05 09:00")
    story.entries.sort(key=lambda entry: entry.appended_us)
    story.rules("2026-03-07 18:00", after).tick("2026-03-07 19:00").use("2026-03-08 12:00")
    assert read(story, section({})) == []


@pytest.mark.parametrize(("name", "count"), [("order[1]", 1), ("order1", 0), ("order?", 0)])
def test_only_the_star_is_a_wildcard(read: Reader, name: str, count: int) -> None:
    product = section({"first": {"kind": "streak", "when": {"event": "order[1]"}, "days": 1}})
    assert len(read(Story().use("2026-03-01 12:00", event=name), product)) == count


def test_a_day_cut_short_by_a_change_is_read_by_the_new_calendar(read: Reader) -> None:
    """From the 11th on, a Wednesday that Tokyo's clock cuts short, Mondays count: the 9th is a hole."""
    product = section({"habit": {"kind": "streak", "days": 3}})
    story = Story().profile("2026-03-07 08:00", calendar={"closed_weekdays": (0,)})
    story.use("2026-03-08 12:00").use("2026-03-10 12:00")
    story.profile("2026-03-10 13:00", time_zone="Asia/Tokyo", calendar={"closed_weekdays": ()})
    assert read(story.use("2026-03-11 03:00"), product) == []


def test_a_retraction_tells_no_other_stop_from_before_the_import(read: Reader) -> None:
    """The import of the 10th settles the 6th in silence; making the 4th whole is no reason to tell it."""
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-05 00:16")
    story.use("2026-03-05 12:00").use("2026-03-07 12:00").tick("2026-03-10 00:16")
    story.use("2026-03-08 12:00", read="2026-03-10 09:00", backfill=True).tick("2026-03-10 10:00")
    story.use("2026-03-04 12:00", read="2026-03-10 11:00")
    assert told(read(story, section({"stop": absence(min_streak=3)}))) == [
        ("usage.stopped", "2026-03-04"),
        ("usage.resumed", "2026-03-05"),
        ("usage.stopped.retracted", "2026-03-04"),
    ]


def test_a_cutoff_at_the_day_start_is_the_days_first_instant(read: Reader) -> None:
    product = section({"stop": absence(cutoff="05:00")}, day_starts_at="05:00")
    (stop,) = read(Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 05:16"), product)
    assert (stop.data.day, stop.data.cutoff_at) == (date(2026, 3, 4), "2026-03-04T05:00:00Z")


def test_a_missed_day_on_which_use_comes_back_belongs_to_the_silence(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 14:16").tick("2026-03-05 14:16")
    triggers = read(
        story.use("2026-03-05 18:00"), section({"stop": absence(cutoff="14:00", again_after_days=[2])})
    )
    assert told(triggers) == [
        ("usage.stopped", "2026-03-04"),
        ("usage.stopped", "2026-03-05"),
        ("usage.resumed", "2026-03-05"),
    ]
    assert triggers[-1].data.missed_days == 1


def test_a_day_that_a_change_taken_back_would_have_cut_short_is_judged(read: Reader) -> None:
    """Two profiles on one usage day: the second takes back the move to Berlin before it has taken effect."""
    product = section({"stop": absence(cutoff="14:00", min_streak=2)}, day_starts_at="12:00")
    story = (
        Story()
        .use("2026-03-05 05:29")
        .profile("2026-03-06 06:13", time_zone="Europe/Berlin", day_starts_at="00:00")
    )
    story.tick("2026-03-06 06:27").profile("2026-03-06 09:34").use("2026-03-06 11:25")
    assert told(read(story.tick("2026-03-06 16:55"), product)) == [("usage.stopped", "2026-03-06")]


def test_history_of_closed_days_alone_settles_nothing_anew(read: Reader) -> None:
    """The 7th is closed, so there is nothing to judge again, and no reason to be silent about the 6th."""
    product = section(
        {"stop": absence(cutoff="14:00", min_streak=2)},
        calendar={"learn_closed_weekdays": False, "closures": [("2026-03-07", "2026-03-08")]},
    )
    story = Story().use("2026-03-05 12:00").tick("2026-03-06 14:16").use("2026-03-06 18:00")
    story.tick("2026-03-07 14:16").use("2026-03-07 12:00", read="2026-03-07 16:00", backfill=True)
    assert told(read(story.use("2026-03-04 12:00", read="2026-03-07 17:00"), product)) == [
        ("usage.stopped", "2026-03-06"),
        ("usage.resumed", "2026-03-06"),
    ]


def test_a_day_excused_may_make_a_silence_due_that_could_not_be_told_before() -> None:
    """The 2nd was closed when it passed and is a hole by the calendar of the 4th, until it is excused."""
    product = section({"stop": absence(min_streak=2)})
    closed_on_the_2nd = {"closures": ((date(2026, 3, 2), date(2026, 3, 2)),)}
    story = Story().profile("2026-02-28 08:00", calendar=closed_on_the_2nd)
    story.use("2026-03-01 12:00").use("2026-03-03 12:00").profile("2026-03-03 13:00")
    story.tick("2026-03-05 00:16").excuse("2026-03-02", read="2026-03-05 09:00").tick("2026-03-06 00:16")
    driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=product)
    triggers = [trigger for entry in story.entries for trigger in driver.read(entry)]
    assert told(triggers) == told(by_oracle(story, product)) == [("usage.stopped", "2026-03-04")]
