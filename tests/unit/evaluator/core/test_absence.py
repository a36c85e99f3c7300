"""The rule `absence`, as diaries: raised, resumed, retracted, moved, reminded, silenced."""

from datetime import date

import pytest

from services.evaluator.core.state import AbsenceState
from tests.unit.evaluator.told import LITERAL, Diary, days_of, product


def stop(**more: object) -> dict[str, object]:
    return {"usage-stopped": {**LITERAL, **more}}


def diary_of(**more: object) -> Diary:
    return Diary(product(rules=stop(**more)))


def test_a_day_is_missed_once_a_tick_is_later_than_its_cutoff_and_grace() -> None:
    diary = diary_of(cutoff="14:00", grace="15m")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-04T14:15")
    assert diary.news() == []
    diary.tick("2026-03-04T14:15:01")
    (trigger,) = diary.told
    assert (trigger.type, str(trigger.data.day), trigger.timestamp) == (
        "usage.stopped",
        "2026-03-04",
        "2026-03-04T05:00:00Z",
    )
    assert (trigger.data.decided_at, trigger.data.cutoff_at) == (
        "2026-03-04T05:15:01Z",
        "2026-03-04T05:00:00Z",
    )
    assert (trigger.data.streak.length, trigger.data.episode_day) == (3, 1)


def test_without_a_cutoff_the_end_of_the_usage_day_decides() -> None:
    diary = Diary(product(rules=stop(), day_starts_at="05:00"))
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-05T05:15")
    assert diary.news() == []
    diary.tick("2026-03-05T05:16")
    assert diary.news() == ["usage.stopped 2026-03-04"]


def test_use_between_cutoff_and_settling_raises_nothing() -> None:
    diary = diary_of(cutoff="14:00")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.use("2026-03-04T14:05")
    diary.tick("2026-03-04T14:30")
    assert diary.news() == []


def test_an_event_ahead_of_its_tick_in_the_log_is_never_accused() -> None:
    # The reader is hours behind: the event lies before the tick, so it is read before the tick.
    diary = diary_of(cutoff="14:00")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.use("2026-03-04T13:00", read="2026-03-04T20:00")
    diary.tick("2026-03-04T21:00")
    assert diary.news() == []


def test_only_the_first_missed_day_of_an_episode_is_told() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    for each in days_of("2026-03-05", "2026-03-10"):
        diary.tick(each + "T00:16")
    assert diary.news() == ["usage.stopped 2026-03-04"]


def test_reminders_come_on_the_named_days_of_the_episode() -> None:
    diary = diary_of(again_after_days=[3, 7])
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-20T00:16")
    told = [(str(t.data.day), t.data.episode_day) for t in diary.told]
    assert told == [("2026-03-04", 1), ("2026-03-06", 3), ("2026-03-10", 7)]
    assert len({t.id for t in diary.told}) == 3
    assert diary.state is not None
    assert diary.state.due_us is None


def test_a_lagging_reader_goes_day_by_day_and_skips_none() -> None:
    diary = diary_of()
    diary.use("2026-03-01T10:00")
    diary.use("2026-03-03T10:00")
    diary.use("2026-03-05T10:00")
    diary.tick("2026-03-07T00:16")
    assert diary.news() == [
        "usage.stopped 2026-03-02",
        "usage.resumed 2026-03-03",
        "usage.stopped 2026-03-04",
        "usage.resumed 2026-03-05",
        "usage.stopped 2026-03-06",
    ]


def test_min_streak_spares_customers_without_a_habit() -> None:
    diary = diary_of(min_streak=3)
    diary.uses(days_of("2026-03-01", "2026-03-02"))
    diary.tick("2026-03-04T00:16")
    assert diary.news() == []
    diary.uses(days_of("2026-03-04", "2026-03-06"))
    diary.tick("2026-03-08T00:16")
    assert diary.news() == ["usage.stopped 2026-03-07"]


def test_the_next_use_ends_the_episode_and_says_how_much_was_missed() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-06T00:16")
    diary.use("2026-03-06T10:00")
    stopped, resumed = diary.told
    assert (resumed.type, str(resumed.data.day), resumed.data.missed_days) == (
        "usage.resumed",
        "2026-03-06",
        2,
    )
    assert resumed.data.stopped_id == stopped.id
    assert resumed.timestamp == "2026-03-06T01:00:00Z"


def test_use_after_an_early_cutoff_resumes_with_nothing_missed() -> None:
    diary = diary_of(cutoff="14:00")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-04T14:16")
    diary.use("2026-03-04T18:00")
    assert [(t.type, t.data.missed_days) for t in diary.told] == [
        ("usage.stopped", None),
        ("usage.resumed", 0),
    ]


def test_a_silence_that_was_not_told_is_not_resumed_either() -> None:
    diary = diary_of(min_streak=5)
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-05T00:16")
    diary.use("2026-03-05T10:00")
    assert diary.news() == []


def test_an_event_late_but_in_time_retracts_the_stop() -> None:
    diary = diary_of(cutoff="14:00")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-04T14:16")
    diary.use("2026-03-04T13:59", read="2026-03-04T15:00")
    stopped, retracted = diary.told
    assert (retracted.type, retracted.data.stopped_id) == ("usage.stopped.retracted", stopped.id)
    assert retracted.data.streak.length == 4


def test_an_event_at_the_cutoff_itself_is_too_late_to_retract() -> None:
    diary = diary_of(cutoff="14:00")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-04T14:16")
    diary.use("2026-03-04T14:00", read="2026-03-04T15:00")
    assert diary.news() == ["usage.stopped 2026-03-04", "usage.resumed 2026-03-04"]


def test_a_use_known_by_its_day_is_in_time_for_any_cutoff() -> None:
    diary = diary_of(cutoff="00:30")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-04T08:00")
    diary.use("2026-03-04", read="2026-03-04T23:00")
    assert diary.news() == ["usage.stopped 2026-03-04", "usage.stopped.retracted 2026-03-04"]


def test_a_stop_moves_to_the_following_missed_day() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-06T00:16")
    diary.use("2026-03-04T10:00", read="2026-03-06T09:00")
    assert diary.news() == [
        "usage.stopped 2026-03-04",
        "usage.stopped.retracted 2026-03-04",
        "usage.stopped 2026-03-05",
    ]


def test_a_stop_is_retracted_after_its_resumption_too() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-05T00:16")
    diary.use("2026-03-05T10:00")
    diary.use("2026-03-04T10:00", read="2026-03-06T09:00")
    assert diary.news() == [
        "usage.stopped 2026-03-04",
        "usage.resumed 2026-03-05",
        "usage.stopped.retracted 2026-03-04",
    ]


def test_a_late_use_inside_an_episode_ends_it_and_begins_another() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-08T00:16")
    diary.use("2026-03-06T10:00", read="2026-03-08T09:00")
    assert diary.news() == [
        "usage.stopped 2026-03-04",
        "usage.resumed 2026-03-06",
        "usage.stopped 2026-03-07",
    ]


@pytest.mark.parametrize(
    ("read", "reasons"), [("2026-04-05T10:00:00", []), ("2026-04-05T10:00:01", ["too_old"])]
)
def test_the_late_window_is_bounded(read: str, reasons: list[str]) -> None:
    diary = diary_of()
    diary.use("2026-03-01T10:00", read=read)  # 1 March to 5 April are 35 days
    assert diary.rejected == reasons


@pytest.mark.parametrize(
    ("read", "reasons"), [("2026-03-01T09:55", []), ("2026-03-01T09:54:59", ["in_future"])]
)
def test_the_future_is_bounded(read: str, reasons: list[str]) -> None:
    diary = diary_of()
    diary.use("2026-03-01T10:00", read=read)
    assert diary.rejected == reasons


def test_closed_days_holidays_closures_and_pauses_are_never_missed() -> None:
    calendar = {
        "learn_closed_weekdays": False,
        "closed_weekdays": ["mon"],
        "holidays": "JP",
        "closures": [["2026-05-07", "2026-05-08"]],
    }
    diary = Diary(product(rules=stop(), calendar=calendar))
    diary.uses(days_of("2026-04-28", "2026-05-02", but=["2026-04-29"]))
    # 3-6 May are holidays (the 4th a Monday too), 7-8 a closure: the 9th is the first expected day.
    diary.tick("2026-05-10T00:16")
    assert diary.news() == ["usage.stopped 2026-05-09"]


def test_a_paused_customer_is_left_alone() -> None:
    diary = diary_of()
    diary.profile("2026-02-28T10:00", calendar={"pause": (date(2026, 3, 4), None)})
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-06-01T00:16")
    assert diary.news() == []


def test_an_excused_day_takes_back_its_stop_and_moves_it() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.tick("2026-03-06T00:16")
    diary.excused = frozenset({date(2026, 3, 4).toordinal()})
    diary.tick("2026-03-06T00:20")
    assert diary.news() == [
        "usage.stopped 2026-03-04",
        "usage.stopped.retracted 2026-03-04",
        "usage.stopped 2026-03-05",
    ]


def test_a_day_excused_beforehand_is_not_missed() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.excused = frozenset({date(2026, 3, 4).toordinal()})
    diary.tick("2026-03-05T00:16")
    assert diary.news() == []


def test_a_change_of_calendar_never_rejudges_a_settled_day() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-05", "2026-03-08"))
    diary.tick("2026-03-10T00:16")  # Monday the 9th is missed
    diary.profile("2026-03-10T09:00", calendar={"closed_weekdays": (0,)})
    diary.tick("2026-03-12T00:16")
    diary.use("2026-03-12T10:00")
    assert diary.news() == ["usage.stopped 2026-03-09", "usage.resumed 2026-03-12"]


def test_a_day_cut_short_by_a_change_of_zone_is_not_expected() -> None:
    diary = Diary(product(zone="America/Los_Angeles", rules=stop()), zone="America/Los_Angeles")
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.profile("2026-03-03T12:00", time_zone="Asia/Tokyo")
    # The old day ends at 17:00 on 4 March in Tokyo: of the 4th too little is left to be held against it.
    diary.zone = "Asia/Tokyo"
    diary.tick("2026-03-05T01:00")
    assert diary.news() == []
    diary.tick("2026-03-06T00:16")
    assert diary.news() == ["usage.stopped 2026-03-05"]


def test_history_tells_nothing_from_before_it_arrived() -> None:
    diary = diary_of()
    diary.watermark_us = diary.us("2026-03-20T12:00")
    for each in days_of("2026-03-01", "2026-03-19", but=["2026-03-05", "2026-03-06"]):
        diary.use(each, read="2026-03-20T13:00", backfill=True)
    diary.tick("2026-03-20T14:00")
    assert diary.news() == []
    diary.tick("2026-03-21T00:16")
    assert diary.news() == ["usage.stopped 2026-03-20"]


def test_history_in_pieces_is_judged_anew_from_the_whole() -> None:
    whole, pieces = (diary_of() for _ in range(2))
    for diary in (whole, pieces):
        diary.watermark_us = diary.us("2026-03-20T12:00")
        for each in days_of("2026-03-01", "2026-03-19"):
            diary.use(each, read="2026-03-20T13:00", backfill=True)
            if diary is pieces:
                diary.tick("2026-03-20T13:00:30")
        diary.tick("2026-03-22T00:16")
    assert whole.news() == pieces.news() == ["usage.stopped 2026-03-20"]


def test_history_retracts_a_told_stop_and_tells_no_other() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-10", "2026-03-12"))
    diary.tick("2026-03-14T00:16")
    diary.use("2026-03-13", read="2026-03-14T09:00", backfill=True)
    assert diary.news() == ["usage.stopped 2026-03-13", "usage.stopped.retracted 2026-03-13"]


def test_a_rule_added_later_judges_the_stored_days_and_tells_nothing_of_them() -> None:
    diary = Diary(product(rules={}))
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    diary.use("2026-03-06T10:00")
    diary.watermark_us = diary.us("2026-03-06T12:00")
    diary.product = product(rules=stop())
    diary.use("2026-03-06T13:00")
    diary.tick("2026-03-08T00:16")
    assert diary.news() == ["usage.stopped 2026-03-07"]
    assert diary.state is not None
    judged = diary.state.rules["usage-stopped"]
    assert isinstance(judged, AbsenceState)
    assert judged.missed.bit_count() == 3  # 4, 5 and 7 March


def test_a_duplicate_changes_nothing() -> None:
    diary = diary_of()
    diary.uses(days_of("2026-03-01", "2026-03-03"))
    before = diary.state
    diary.use("2026-03-02T23:00", read="2026-03-03T12:00")
    assert diary.state == before
