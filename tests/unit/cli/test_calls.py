"""Which triggers become calls, by the notifier's own rules, and what the summary says of them."""

from collections.abc import Sequence
from datetime import date

import msgspec

from services.commands.backtesting.load import loads
from services.commands.backtesting.telling import Aids
from services.commands.calls import Call, calls_of
from services.commands.histories import History, Replay
from services.commands.summary import summarize
from shared.config import Config
from shared.events import Profile
from shared.triggers import RESUMED, CustomerFacts, StreakFacts, Trigger, TriggerData

RULES = {"usage-stopped": {"kind": "absence", "emit": "usage.stopped", "again_after_days": [3]}}


def config(**task: object) -> Config:
    playbook = {"on": "usage.stopped", "task": {"kind": "call", **task}}
    product = {"time_zone": "Asia/Tokyo", "rules": RULES, "playbooks": [playbook]}
    return Config.model_validate({"products": {"p": product}, "csms": {"mori": {"name": "Mori"}}})


def trigger(day: int, type: str = "usage.stopped", *, id: str = "", stopped_id: str | None = None) -> Trigger:
    return Trigger(
        id=id or f"{type}-{day}",
        type=type,
        timestamp=f"2026-03-{day:02d}T05:00:00Z",
        data=TriggerData(
            product="p",
            rule="usage-stopped",
            day=date(2026, 3, day),
            decided_at=f"2026-03-{day:02d}T05:15:00Z",  # 14:15 in Tokyo
            stopped_id=stopped_id,
            streak=StreakFacts(length=9, calendar_days=9, started_on=None, last_active_on=None),
            customer=CustomerFacts(id="c-1", name="鮨 はやし", csm="mori"),
        ),
    )


def days(calls: Sequence[Call]) -> list[int]:
    return [call.trigger.data.day.day for call in calls]


def test_a_reminder_of_an_open_call_is_no_second_call() -> None:
    assert days(list(calls_of([trigger(2), trigger(4)], config()))) == [2]


def test_a_stop_after_a_resumption_is_a_call_of_its_own() -> None:
    story = [trigger(2), trigger(3, RESUMED, stopped_id="usage.stopped-2"), trigger(9)]
    assert days(list(calls_of(story, config()))) == [2, 9]


def test_a_call_that_expired_untouched_is_handed_out_again() -> None:
    assert days(list(calls_of([trigger(2), trigger(4)], config(expires="end_of_day")))) == [2, 4]


def test_a_call_is_due_when_the_contact_window_closes_else_when_the_usage_day_ends() -> None:
    (in_window,) = calls_of([trigger(2)], config(contact_window="14:00-17:00"))
    (without,) = calls_of([trigger(2)], config())
    # The CSM works from 09:00 to 18:00 UTC, which is 18:00 to 03:00 in Tokyo: not at 14:00-17:00 there.
    assert without.line()["due_at"] == "2026-03-02T18:00:00Z"
    assert in_window.line()["due_at"] >= without.line()["due_at"]
    assert without.line()["trigger_id"] == "usage.stopped-2"


def test_what_no_playbook_wants_is_no_call() -> None:
    product = config().products["p"].model_copy(update={"playbooks": ()})
    other = Config(products={"p": product})
    assert list(calls_of([trigger(2, "onboarding.completed")], other)) == []


def test_the_summary_counts_calls_stops_and_how_soon_they_ended() -> None:
    triggers = [
        trigger(2),
        trigger(3, RESUMED, stopped_id="usage.stopped-2"),
        trigger(9),
        trigger(11),
    ]
    replay = Replay(
        triggers=triggers,
        calls=list(calls_of(triggers, config())),
        first_on=date(2026, 3, 1),
        last_on=date(2026, 3, 31),
    )
    history = History(uses={"c-1": []}, profiles={"c-1": Profile(), "c-2": Profile()}, use_count=20)
    aids = Aids(loads=loads(replay.calls, {}), kinds=())
    text = summarize(history, replay, config(), "p", aids, left_out="0")
    assert "20 uses of 1 customers, 2026-03-01 to 2026-03-31 (31 days), product p" in text
    assert "Calls: 2" in text
    assert "Stops: 2" in text
    assert " 50.0 % (1) in use again by the next day" in text
    assert " 50.0 % (1) not in use again by 2026-03-31" in text
    assert "1 customers of the customers file have no use in the events" in text
    assert "鮨 はやし (c-1)" in text


def test_a_call_s_line_is_json() -> None:
    (call,) = calls_of([trigger(2)], config())
    keys = {"customer_id", "rule", "day", "trigger_id", "due_at", "surprise"}
    assert set(msgspec.json.decode(msgspec.json.encode(call.line()))) == keys
