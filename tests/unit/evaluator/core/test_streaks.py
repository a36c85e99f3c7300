"""The rule `streak`, as diaries."""

from tests.unit.evaluator.told import Diary, days_of, product


def streak(days: int = 28, **more: object) -> dict[str, object]:
    return {"onboarding": {"kind": "streak", "days": days, "emit": "onboarding.completed", **more}}


def test_twenty_eight_days_are_told_at_the_first_use_of_the_last_one() -> None:
    diary = Diary(product(rules=streak()))
    diary.uses(days_of("2026-03-01", "2026-03-27"))
    assert diary.news() == []
    diary.use("2026-03-28T09:30")
    (trigger,) = diary.told
    assert (trigger.type, trigger.timestamp) == ("onboarding.completed", "2026-03-28T00:30:00Z")
    assert (trigger.data.streak.length, trigger.data.streak.calendar_days) == (28, 28)


def test_it_is_told_once_per_customer() -> None:
    diary = Diary(product(rules=streak(3)))
    diary.uses(days_of("2026-03-01", "2026-03-05"))
    diary.uses(days_of("2026-03-08", "2026-03-12"))
    assert diary.news() == ["onboarding.completed 2026-03-03"]


def test_with_repeat_it_is_told_once_per_streak() -> None:
    diary = Diary(product(rules=streak(3, repeat=True)))
    diary.uses(days_of("2026-03-01", "2026-03-05"))
    diary.uses(days_of("2026-03-08", "2026-03-12"))
    assert diary.news() == ["onboarding.completed 2026-03-03", "onboarding.completed 2026-03-10"]


CLOSED_MONDAYS = {"learn_closed_weekdays": False, "closed_weekdays": ["mon"]}
MONDAYS = ["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]


def test_closed_days_neither_break_nor_lengthen_a_streak() -> None:
    diary = Diary(product(rules=streak(), calendar=CLOSED_MONDAYS))
    diary.uses(days_of("2026-03-03", "2026-04-05", but=MONDAYS))
    # 3..31 March has 29 days, 4 of them Mondays: 25; the 28th is 3 April.
    assert diary.news() == ["onboarding.completed 2026-04-03"]


def test_calendar_days_count_the_closed_ones_too() -> None:
    diary = Diary(product(rules=streak(counting="calendar_days"), calendar=CLOSED_MONDAYS))
    diary.uses(days_of("2026-03-03", "2026-04-05", but=MONDAYS))
    # The 28th calendar day is Monday 30 March; the first use on or after it is on the 31st.
    assert diary.news() == ["onboarding.completed 2026-03-31"]


def test_an_active_closed_day_lengthens_a_streak() -> None:
    diary = Diary(product(rules=streak(7), calendar=CLOSED_MONDAYS))
    diary.uses(days_of("2026-03-03", "2026-03-09"))
    assert diary.news() == ["onboarding.completed 2026-03-09"]


def test_a_late_event_that_closes_the_gap_completes_a_streak_in_the_past() -> None:
    diary = Diary(product(rules=streak(5)))
    diary.uses(days_of("2026-03-01", "2026-03-08", but=["2026-03-04"]))
    assert diary.news() == []
    diary.use("2026-03-04T10:00", read="2026-03-09T08:00")
    (trigger,) = diary.told
    # The fifth day in a row is 5 March; that day's own time is not kept, so its opening stands for it.
    assert (str(trigger.data.day), trigger.timestamp) == ("2026-03-05", "2026-03-04T15:00:00Z")
    assert trigger.data.decided_at == "2026-03-08T23:00:00Z"


def test_the_id_of_a_streak_told_once_does_not_depend_on_the_order_of_arrival() -> None:
    ordered, late = (Diary(product(rules=streak(5))) for _ in range(2))
    ordered.uses(days_of("2026-03-01", "2026-03-05"))
    late.uses(days_of("2026-03-01", "2026-03-06", but=["2026-03-02"]))
    late.use("2026-03-02T10:00", read="2026-03-06T11:00")
    assert [t.id for t in ordered.told] == [t.id for t in late.told]


def test_only_events_that_match_count() -> None:
    rules = streak(2, when={"event": ["reservation.*", "order.created"]})
    diary = Diary(product(rules=rules))
    diary.use("2026-03-01T10:00", event="login")
    diary.use("2026-03-02T10:00", event="reservation.created")
    assert diary.news() == []
    diary.use("2026-03-03T10:00", event="order.created")
    assert diary.news() == ["onboarding.completed 2026-03-03"]


def test_history_reaches_a_streak_without_a_word_and_for_good() -> None:
    diary = Diary(product(rules=streak(3)))
    for each in days_of("2026-03-01", "2026-03-04"):
        diary.use(each, read="2026-03-20T12:00", backfill=True)
    diary.uses(days_of("2026-03-20", "2026-03-25"))
    assert diary.news() == []


def test_a_streak_begun_in_history_is_completed_live() -> None:
    diary = Diary(product(rules=streak(5)))
    for each in days_of("2026-03-01", "2026-03-04"):
        diary.use(each, read="2026-03-05T08:00", backfill=True)
    diary.use("2026-03-05T10:00")
    assert diary.news() == ["onboarding.completed 2026-03-05"]


def test_a_weekday_learned_as_closed_does_not_break_a_streak() -> None:
    diary = Diary(product(rules=streak(60), calendar={"learn_closed_weekdays": True}))
    mondays = [d for i, d in enumerate(days_of("2026-03-02", "2026-05-31")) if i % 7 == 0]
    diary.uses(days_of("2026-03-03", "2026-05-31", but=mondays))
    (trigger,) = diary.told
    assert (trigger.data.streak.length, str(trigger.data.streak.started_on)) == (60, "2026-03-03")
