"""Every example of what days, streaks and stops mean, read by the oracle and by the engine alike."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.evaluator.core import calendar
from shared.clock import rfc3339
from tests.histories import Story, section
from tests.oracle.calendar import Settings, Timeline
from tests.property.readers import READERS, Reader, told


@pytest.fixture(params=list(READERS.values()), ids=list(READERS))
def read(request: pytest.FixtureRequest) -> Reader:
    reader: Reader = request.param
    return reader


def absence(**settings: Any) -> dict[str, Any]:
    return {"kind": "absence", **settings}


ONBOARDING = {"kind": "streak", "days": 28, "emit": "onboarding.completed"}


# Days


@pytest.mark.parametrize(
    ("at", "day"), [("2026-03-02 04:59", date(2026, 3, 1)), ("2026-03-02 05:00", date(2026, 3, 2))]
)
def test_a_usage_day_starts_at_the_day_start_in_the_customers_zone(at: str, day: date) -> None:
    us = Story("Asia/Tokyo").us(at)
    timeline = Timeline((Settings(zone="Asia/Tokyo", day_starts=300),))
    assert timeline.day_of(us) == calendar.day_of("Asia/Tokyo", 300, us) == day.toordinal()


@pytest.mark.parametrize(
    ("zone", "on", "closes_at", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-29T22:00:00Z", 23),  # 02:00 is skipped
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-25T23:00:00Z", 25),  # 02:00 comes twice
        ("America/Sao_Paulo", date(2018, 11, 3), "2018-11-04T03:00:00Z", 24),  # ends in a skipped midnight
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-05T02:00:00Z", 23),  # begins at 01:00
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-18T03:00:00Z", 25),  # midnight goes back to 23:00
        ("Asia/Kathmandu", date(2026, 3, 2), "2026-03-02T18:15:00Z", 24),  # 45 minutes
    ],
)
def test_a_usage_day_closes_after_its_last_instant(zone: str, on: date, closes_at: str, hours: int) -> None:
    day, timeline = on.toordinal(), Timeline((Settings(zone=zone, day_starts=0),))
    closes_us = calendar.closes_us(zone, 0, day)
    assert rfc3339(closes_us) == closes_at
    assert closes_us - calendar.opens_us(zone, 0, day) == hours * 3_600_000_000
    assert (timeline.opens_us(day), timeline.closes_us(day)) == (
        calendar.opens_us(zone, 0, day),
        closes_us,
    )


@pytest.mark.parametrize(
    ("on", "cutoff_at"),
    [
        (date(2026, 10, 25), "2026-10-25T00:30:00Z"),  # 02:30 comes twice: the first one, at +02:00
        (date(2026, 3, 29), "2026-03-29T01:00:00Z"),  # 02:30 is skipped: the first instant after the gap
        (date(2026, 3, 30), "2026-03-30T00:30:00Z"),
    ],
)
def test_a_cutoff_is_its_first_occurrence_or_the_end_of_the_gap(on: date, cutoff_at: str) -> None:
    timeline = Timeline((Settings(zone="Europe/Berlin", day_starts=0),))
    assert rfc3339(timeline.cutoff_us(on.toordinal(), 150)) == cutoff_at
    assert rfc3339(calendar.cutoff_us("Europe/Berlin", 0, on.toordinal(), 150)) == cutoff_at


def test_a_day_without_length_is_never_expected(read: Reader) -> None:
    product = section({"stop": absence(cutoff="14:00")}, time_zone="Pacific/Apia")
    story = Story("Pacific/Apia").daily("2011-12-27", "2011-12-29").tick("2011-12-31 13:00")
    story.use("2011-12-31 13:30").tick("2012-01-01 13:00")
    assert not Timeline((Settings(zone="Pacific/Apia", day_starts=0),)).has_length(
        date(2011, 12, 30).toordinal()
    )
    assert not calendar.has_length("Pacific/Apia", 0, date(2011, 12, 30).toordinal())
    assert read(story, product) == []


@pytest.mark.parametrize(
    "closed",
    [
        {"closed_weekdays": (2, 3)},  # Wednesday 11 and Thursday 12 March 2026
        {"closures": ((date(2026, 3, 11), date(2026, 3, 12)),)},
        {"pause": (date(2026, 3, 11), date(2026, 3, 12))},
        {"pause": (date(2026, 3, 11), None)},
    ],
)
def test_a_day_not_expected_is_no_miss(read: Reader, closed: dict[str, Any]) -> None:
    story = Story().profile("2026-03-08 08:00", calendar=closed).daily("2026-03-09", "2026-03-10")
    product = section({"stop": absence()})
    assert read(story.tick("2026-03-13 00:16"), product) == []
    missed = [] if closed.get("pause", (None, ""))[1] is None else [("usage.stopped", "2026-03-13")]
    assert told(read(story.tick("2026-03-14 00:16"), product)) == missed


def test_a_public_holiday_is_no_miss(read: Reader) -> None:
    product = section({"stop": absence()}, calendar={"holidays": "JP", "learn_closed_weekdays": False})
    story = Story().daily("2026-04-27", "2026-04-28").tick("2026-05-02 00:16")  # 29 April is Showa day
    assert told(read(story, product)) == [("usage.stopped", "2026-04-30")]


def test_an_excused_day_is_no_miss_and_takes_back_the_stop_told_of_it(read: Reader) -> None:
    product = section({"stop": absence()})
    story = Story().daily("2026-03-09", "2026-03-10").tick("2026-03-12 00:16")
    story.excuse("2026-03-11", read="2026-03-12 09:00")
    assert told(read(story, product)) == [
        ("usage.stopped", "2026-03-11"),
        ("usage.stopped.retracted", "2026-03-11"),
    ]


def test_duplicates_and_disorder_change_no_day(read: Reader) -> None:
    product = section({"habit": {"kind": "streak", "days": 3}})
    story = Story()
    for day in (10, 9, 10, 9, 9, 10):
        story.use(f"2026-03-{day:02} 12:00", read="2026-03-10 13:00")
    assert read(story, product) == []
    assert told(read(story.use("2026-03-11 12:00"), product)) == [("streak.reached", "2026-03-11")]


# Streaks


def test_28_days_are_reached_at_the_first_event_of_the_28th(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-27").use("2026-03-28 07:00").use("2026-03-28 08:00")
    (reached,) = read(story, section({"onboarding": ONBOARDING}))
    assert (reached.type, reached.timestamp) == ("onboarding.completed", "2026-03-28T07:00:00Z")
    assert (reached.data.day, reached.data.decided_at) == (date(2026, 3, 28), "2026-03-28T07:00:00Z")
    assert (reached.data.streak.length, reached.data.streak.calendar_days) == (28, 28)
    assert reached.data.streak.started_on == date(2026, 3, 1)
    assert reached.data.streak.last_active_on == date(2026, 3, 28)


@pytest.mark.parametrize(
    ("counting", "on", "length", "calendar_days"),
    [("active_days", date(2026, 4, 3), 28, 32), ("calendar_days", date(2026, 3, 31), 25, 29)],
)
def test_a_closed_weekday_neither_breaks_nor_lengthens_a_streak(
    read: Reader, counting: str, on: date, length: int, calendar_days: int
) -> None:
    product = section(
        {"onboarding": {**ONBOARDING, "counting": counting}},
        calendar={"closed_weekdays": ["mon"], "learn_closed_weekdays": False},
    )
    story, day = Story(), date(2026, 3, 3)
    while day < date(2026, 4, 10):
        if day.weekday() != 0:
            story.use(f"{day} 12:00")
        day += timedelta(days=1)
    (reached,) = read(story, product)
    assert reached.data.day == on
    assert (reached.data.streak.length, reached.data.streak.calendar_days) == (length, calendar_days)


@pytest.mark.parametrize(("repeat", "days"), [(False, ["2026-03-03"]), (True, ["2026-03-03", "2026-03-12"])])
def test_a_streak_is_told_once_per_customer_or_once_per_streak(
    read: Reader, repeat: bool, days: list[str]
) -> None:
    product = section({"habit": {"kind": "streak", "days": 3, "repeat": repeat}})
    story = Story().daily("2026-03-01", "2026-03-07").daily("2026-03-10", "2026-03-15")
    assert told(read(story, product)) == [("streak.reached", day) for day in days]


# Stops


def test_a_cutoff_before_the_days_end_gives_an_alert_on_the_same_day(read: Reader) -> None:
    product = section(
        {"stop": absence(cutoff="14:00", min_streak=3)}, time_zone="Asia/Tokyo", day_starts_at="05:00"
    )
    story = Story("Asia/Tokyo").daily("2026-02-20", "2026-03-01", hour="13:00")
    assert read(story.tick("2026-03-02 14:15"), product) == []  # not later than cutoff and grace
    (stop,) = read(story.tick_us(story.us("2026-03-02 14:15") + 1_000_000), product)
    assert (stop.type, stop.timestamp) == ("usage.stopped", "2026-03-02T05:00:00Z")
    assert stop.data.cutoff_at == "2026-03-02T05:00:00Z"
    assert stop.data.decided_at == "2026-03-02T05:15:01Z"
    assert (stop.data.day, stop.data.episode_day) == (date(2026, 3, 2), 1)
    assert (stop.data.streak.length, stop.data.streak.started_on) == (10, date(2026, 2, 20))


def test_the_default_cutoff_is_the_end_of_the_usage_day(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-05 00:15").tick("2026-03-05 00:16")
    (stop,) = read(story, section({"stop": absence()}))
    assert (stop.data.cutoff_at, stop.data.decided_at) == ("2026-03-05T00:00:00Z", "2026-03-05T00:16:00Z")


@pytest.mark.parametrize(("min_streak", "count"), [(3, 1), (4, 0)])
def test_a_stop_needs_the_streak_that_the_rule_asks_for(read: Reader, min_streak: int, count: int) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-05 00:16")
    assert len(read(story, section({"stop": absence(min_streak=min_streak)}))) == count


def test_later_missed_days_are_silent_unless_the_rule_names_them(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03")
    for day in range(5, 14):
        story.tick(f"2026-03-{day:02} 00:16")
    assert told(read(story, section({"stop": absence()}))) == [("usage.stopped", "2026-03-04")]
    reminded = read(story, section({"stop": absence(again_after_days=[3, 7])}))
    assert [(t.data.day.day, t.data.episode_day) for t in reminded] == [(4, 1), (6, 3), (10, 7)]


def test_a_consumer_that_lags_tells_true_stops_late_and_no_false_one(read: Reader) -> None:
    """Ticks and uses of days were read in one go: what lies before a tick in the log counts."""
    product = section({"stop": absence(again_after_days=[2, 3])})
    story = Story().daily("2026-03-01", "2026-03-05", ticks=False).tick("2026-03-09 08:00")
    stops = read(story, product)
    assert [t.data.day.day for t in stops] == [6, 7, 8]
    assert [t.timestamp for t in stops] == [f"2026-03-{day:02}T00:00:00Z" for day in (7, 8, 9)]
    assert {t.data.decided_at for t in stops} == {"2026-03-09T08:00:00Z"}


def test_a_tick_counts_no_further_than_the_logs_own_clock(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 09:00")
    ahead = story.entries.pop()
    story.entries.append(
        type(ahead)(ahead.appended_us, type(ahead.message)(at_us=story.us("2026-03-08 00:00")))
    )
    assert read(story, section({"stop": absence()})) == []


def test_use_between_cutoff_and_settling_raises_nothing(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03", hour="12:00")
    story.use("2026-03-04 14:10").tick("2026-03-04 14:16").tick("2026-03-05 14:00")
    assert read(story, section({"stop": absence(cutoff="14:00")})) == []


def test_the_next_use_resumes_with_the_expected_days_missed(read: Reader) -> None:
    product = section(
        {"stop": absence()}, calendar={"closed_weekdays": ["sun"], "learn_closed_weekdays": False}
    )
    story = Story().daily("2026-03-02", "2026-03-05").tick("2026-03-10 00:16").use("2026-03-10 09:30")
    stop, resumed = read(story, product)  # missed: Friday 6, Saturday 7 and Monday 9 March
    assert (resumed.type, resumed.timestamp) == ("usage.resumed", "2026-03-10T09:30:00Z")
    assert (resumed.data.day, resumed.data.missed_days) == (date(2026, 3, 10), 3)
    assert resumed.data.stopped_id == stop.id


def test_use_after_an_early_cutoff_of_the_same_day_resumes_with_none_missed(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 14:16").use("2026-03-04 18:00")
    stop, resumed = read(story, section({"stop": absence(cutoff="14:00")}))
    assert (stop.data.day, resumed.data.day) == (date(2026, 3, 4), date(2026, 3, 4))
    assert resumed.data.missed_days == 0


def test_nothing_resumes_where_no_stop_was_told(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-02").tick("2026-03-04 00:16").use("2026-03-04 09:00")
    assert read(story, section({"stop": absence(min_streak=3)})) == []


def test_an_event_that_was_there_in_time_retracts_the_stop(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 14:16")
    story.use("2026-03-04 13:59", read="2026-03-04 16:00")
    stop, retraction = read(story, section({"stop": absence(cutoff="14:00")}))
    assert (retraction.type, retraction.data.stopped_id) == ("usage.stopped.retracted", stop.id)
    assert (retraction.data.day, retraction.data.decided_at) == (date(2026, 3, 4), "2026-03-04T16:00:00Z")


def test_an_event_that_names_its_day_alone_is_in_time_for_any_cutoff(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 14:16")
    story.use_on("2026-03-04", read="2026-03-04 16:00")
    assert told(read(story, section({"stop": absence(cutoff="14:00")})))[1:] == [
        ("usage.stopped.retracted", "2026-03-04")
    ]


@pytest.mark.parametrize("at", ["2026-03-04 14:00", "2026-03-04 15:30"])
def test_a_late_event_at_or_after_the_cutoff_is_a_resumption_with_none_missed(read: Reader, at: str) -> None:
    story = (
        Story().daily("2026-03-01", "2026-03-03").tick("2026-03-04 14:16").use(at, read="2026-03-04 16:00")
    )
    _, resumed = read(story, section({"stop": absence(cutoff="14:00")}))
    assert (resumed.type, resumed.data.missed_days) == ("usage.resumed", 0)


def test_a_stop_moves_to_the_next_day_missed_together_with_its_retraction(read: Reader) -> None:
    story = Story().daily("2026-03-01", "2026-03-03").tick("2026-03-06 00:16")
    story.use("2026-03-04 10:00", read="2026-03-06 09:00")
    stop, retraction, moved = read(story, section({"stop": absence()}))
    assert told([stop, retraction, moved]) == [
        ("usage.stopped", "2026-03-04"),
        ("usage.stopped.retracted", "2026-03-04"),
        ("usage.stopped", "2026-03-05"),
    ]
    assert moved.data.streak.length == 4
    assert retraction.data.decided_at == moved.data.decided_at == "2026-03-06T09:00:00Z"
    assert moved.id != stop.id


def test_a_streak_made_whole_by_a_late_event_reaches_its_rule_in_the_past(read: Reader) -> None:
    """It is told as read in order: the seventh day is the 7th; of its first use the hour was not kept."""
    story = Story().daily("2026-03-01", "2026-03-03").daily("2026-03-05", "2026-03-08")
    story.use("2026-03-04 10:00", read="2026-03-08 20:00")
    (reached,) = read(story, section({"habit": {"kind": "streak", "days": 7}}))
    assert (reached.timestamp, reached.data.decided_at) == ("2026-03-07T00:00:00Z", "2026-03-08T20:00:00Z")
    assert (reached.data.day, reached.data.streak.length) == (date(2026, 3, 7), 7)


@pytest.mark.parametrize(
    ("at", "count"),
    [
        ("2026-02-26 12:00", 1),  # 35 days before the record's append time, to the second
        ("2026-02-26 11:59", 0),  # too_old
        ("2026-04-02 12:05", 1),
        ("2026-04-02 12:06", 0),  # in_future
    ],
)
def test_events_outside_the_late_window_or_in_the_future_are_not_taken(
    read: Reader, at: str, count: int
) -> None:
    story = Story().use(at, read="2026-04-02 12:00")
    assert len(read(story, section({"first": {"kind": "streak", "days": 1}}))) == count


def test_a_change_of_zone_takes_effect_at_the_end_of_the_current_usage_day(read: Reader) -> None:
    """Tokyo to Berlin on 4 March: that day ends at 15:00Z, so it goes on in Berlin until 23:00Z."""
    product = section({"stop": absence()}, time_zone="Asia/Tokyo")
    story = Story("UTC").profile("2026-03-01 00:00", time_zone="Asia/Tokyo")
    story.use("2026-03-02 03:00").use("2026-03-03 03:00")
    story.profile("2026-03-04 03:00", time_zone="Europe/Berlin")
    story.tick("2026-03-04 15:16").use("2026-03-04 22:30").use("2026-03-05 03:00")
    assert read(story, product) == []


def test_a_change_of_calendar_never_judges_a_settled_day_anew(read: Reader) -> None:
    product = section({"stop": absence()})
    story = Story().daily("2026-03-02", "2026-03-03").tick("2026-03-05 00:16")
    story.profile("2026-03-05 09:00", calendar={"closed_weekdays": (2,)}).tick("2026-03-12 00:16")
    assert told(read(story, product)) == [("usage.stopped", "2026-03-04")]


def test_use_that_never_began_is_told_once_its_window_is_over(read: Reader) -> None:
    product = section({"never": absence(anchor="contract_started_on", within_days=7, emit="never_started")})
    story = Story().profile("2026-03-01 09:00", contract_started_on=date(2026, 3, 2))
    for day in range(2, 12):
        story.tick(f"2026-03-{day:02} 00:16")
    (never,) = read(story, product)  # the window is 2 to 8 March
    assert (never.type, never.data.day) == ("never_started", date(2026, 3, 8))
    assert (never.timestamp, never.data.streak.length) == ("2026-03-09T00:00:00Z", 0)


def test_use_in_the_first_days_of_the_contract_raises_nothing(read: Reader) -> None:
    product = section({"never": absence(anchor="contract_started_on", within_days=7)})
    story = Story().profile("2026-03-01 09:00", contract_started_on=date(2026, 3, 2))
    assert read(story.use("2026-03-08 23:59").tick("2026-03-12 00:16"), product) == []


# Identity and order


def test_replay_gives_the_same_triggers_byte_for_byte(read: Reader) -> None:
    product = section({"stop": absence(again_after_days=[2]), "habit": {"kind": "streak", "days": 3}})
    story = Story().daily("2026-03-01", "2026-03-04").tick("2026-03-08 00:16").use("2026-03-08 09:00")
    first = read(story, product)
    assert len(first) == 4
    assert read(story, product) == first


def test_history_fills_days_and_streaks_and_tells_nothing_of_the_past(read: Reader) -> None:
    product = section({"stop": absence(min_streak=3), "onboarding": ONBOARDING})
    story, day = Story().tick("2026-03-31 23:00"), date(2026, 2, 1)
    while day < date(2026, 4, 1):
        if day != date(2026, 3, 20):
            story.use(f"{day} 12:00", read="2026-04-01 09:00", backfill=True)
        day += timedelta(days=1)
    story.tick("2026-04-01 09:01").tick("2026-04-02 00:16")
    assert told(read(story, product)) == [("usage.stopped", "2026-04-01")]
    assert read(story, product)[0].data.streak.length == 11  # 21 to 31 March


def test_a_rule_added_later_tells_nothing_of_the_past(read: Reader) -> None:
    before = section({"habit": {"kind": "streak", "days": 2}})
    after = section(
        {"habit": {"kind": "streak", "days": 2}, "month": {"kind": "streak", "days": 4}, "stop": absence()}
    )
    story = Story().daily("2026-03-01", "2026-03-05").daily("2026-03-08", "2026-03-10")
    story.rules("2026-03-10 18:00", after).tick("2026-03-10 19:00").tick("2026-03-12 00:16")
    assert told(read(story, before)) == [("streak.reached", "2026-03-02"), ("usage.stopped", "2026-03-11")]
