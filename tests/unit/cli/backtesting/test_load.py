"""Calls of each CSM against what they can make, and on which kinds of days they fall."""

from datetime import date

from services.commands.backtesting.load import (
    AROUND,
    BREAK,
    HOLIDAY,
    ORDINARY,
    Load,
    day_kinds,
    kind_of,
    loads,
)
from services.commands.backtesting.telling import loads_lines
from services.commands.calls import Call
from shared.config import CsmSection
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData


def call(day: date, owner: str | None = "mori", customer: str = "c") -> Call:
    trigger = Trigger(
        id=f"{customer}-{day}",
        type="usage.stopped",
        timestamp=f"{day}T05:00:00Z",
        data=TriggerData(
            product="p",
            rule="stop",
            day=day,
            decided_at=f"{day}T05:15:00Z",
            streak=StreakFacts(length=9, calendar_days=9, started_on=None, last_active_on=None),
            customer=CustomerFacts(id=customer),
        ),
    )
    return Call(trigger=trigger, kind="call", owner=owner, due_us=0, given_on=day)


def test_days_over_what_a_csm_can_make_and_by_how_much() -> None:
    monday, tuesday = date(2026, 3, 2), date(2026, 3, 3)
    (mori,) = loads(
        [call(monday)] * 5 + [call(tuesday)] * 2, {"mori": CsmSection(name="森", calls_per_day_max=3)}
    )
    assert (mori.call_count, mori.busiest, mori.median_count) == (7, (monday, 5), 3.5)
    assert (mori.over_days, mori.over_count) == (1, 2)
    (_, line) = loads_lines([mori])
    assert "森 (mori)" in line
    assert "over 3 a day on 1, by 2" in line


def test_nobody_is_over_what_was_not_told() -> None:
    found = loads(
        [call(date(2026, 3, 2), None), call(date(2026, 3, 2), "mori")] * 2, {"mori": CsmSection(name="Mori")}
    )
    assert [(load.owner, load.over_days) for load in found] == [(None, 0), ("mori", 0)]
    assert "(no CSM named)" in loads_lines(found)[1]


def test_many_csms_stay_on_one_screen() -> None:
    every = [
        Load(owner=f"csm-{n}", name=f"{n}", by_day={date(2026, 3, 2): 20 - n}, daily_max=None)
        for n in range(20)
    ]
    lines = loads_lines(every)
    assert len(lines) == 10
    assert lines[-1].split() == ["12", "more", str(sum(20 - n for n in range(8, 20)))]


def test_kinds_of_days_in_japan() -> None:
    def kind(day: date) -> str:
        return kind_of("JP", day.toordinal())

    assert kind(date(2026, 3, 20)) == HOLIDAY  # Vernal Equinox Day
    assert kind(date(2026, 3, 19)) == kind(date(2026, 3, 21)) == AROUND
    assert kind(date(2026, 8, 14)) == BREAK  # Obon
    assert kind(date(2026, 3, 10)) == ORDINARY
    assert kind_of("", date(2026, 3, 20).toordinal()) == ORDINARY


def test_calls_by_kind_stand_beside_the_share_of_days() -> None:
    # 16 to 25 March 2026: one public holiday, two days around it, seven others.
    found = day_kinds(
        [call(date(2026, 3, 20)), call(date(2026, 3, 24))], {"c": "JP"}, date(2026, 3, 16), date(2026, 3, 25)
    )
    assert [(kind.name, kind.call_count, kind.share_of_days) for kind in found] == [
        (HOLIDAY, 1, 0.1),
        (AROUND, 0, 0.2),
        (ORDINARY, 1, 0.7),
    ]
