"""A replay tells what the live fold would have told with a tick at every deadline."""

import random
from datetime import date

import pytest

from services.evaluator import engine
from services.evaluator.core import profiles
from services.evaluator.core.calendar import day_of
from services.evaluator.replay import DatedUse, replay_customer
from shared.events import Event, Profile
from shared.triggers import Trigger
from tests.unit.evaluator.told import LITERAL, day, product

FIRST = day("2025-03-01")
RULES = {
    "onboarding": {"kind": "streak", "days": 9, "repeat": True},
    "habit": {"kind": "streak", "days": 14, "counting": "calendar_days"},
    "stopped": {"kind": "absence", "cutoff": "14:00", "min_streak": 2},
    "silent": {**LITERAL, "again_after_days": [3]},
    "scouts": {"kind": "count", "at_least": 40, "within_days": 25},
    "paid": {
        "kind": "count",
        "at_least": 9,
        "within_days": 12,
        "when": {"event": "used", "where": {"paid": True}},
    },
    "days": {"kind": "count", "counting": "active_days", "at_least": 11, "within_days": 14},
    "fading": {"kind": "decline", "recent_days": 5, "baseline_days": 20, "drop": 0.4},
}


def live(uses: list[DatedUse], compiled: engine.Product, last_on: int) -> list[Trigger]:
    """One record at a time, with a tick just after each deadline; decided then, as a replay decides."""
    state = profiles.fresh(Profile(), compiled, 0)
    told: list[Trigger] = []
    for use in uses:
        assert use.occurred_us is not None
        while state.due_us is not None and state.due_us <= use.occurred_us:
            outcome = engine.settle(state, customer_id="c", product=compiled, watermark_us=state.due_us + 1)
            assert outcome.state is not None
            state, told = outcome.state, [*told, *outcome.triggers]
        event = Event(
            product="reserve",
            customer_id="c",
            event_id=use.event_id,
            occurred_us=use.occurred_us,
            received_us=0,
            properties=dict(use.properties),
        )
        outcome = engine.fold(
            state,
            event,
            product=compiled,
            appended_us=use.occurred_us,
            watermark_us=use.occurred_us + 1,
        )
        assert outcome.state is not None
        state, told = outcome.state, [*told, *outcome.triggers]
    return [trigger for trigger in told if trigger.data.day.toordinal() <= last_on]


@pytest.mark.parametrize("seed", range(40))
def test_a_replay_is_the_live_fold_at_every_deadline(seed: int) -> None:
    dice = random.Random(seed)
    compiled = product(zone="Europe/Berlin", rules=RULES, calendar={"learn_closed_weekdays": seed % 2 == 0})
    closed = dice.randrange(7)
    uses = []
    for ordinal in range(FIRST, FIRST + 120):
        if ordinal % 7 != closed and dice.random() < 0.9:
            for _ in range(dice.choice((1, 1, 3))):
                at_us = (ordinal - day("1970-01-01")) * 86_400_000_000 + dice.randrange(4, 22) * 3_600_000_000
                event_id = f"{ordinal}/{dice.randrange(3)}"
                uses.append(DatedUse(at_us, event_id=event_id, properties={"paid": dice.random() < 0.4}))
    uses.sort(key=lambda use: use.occurred_us or 0)
    last_on = day_of("Europe/Berlin", 0, uses[-1].occurred_us or 0)
    replayed = replay_customer("c", Profile(), uses, product=compiled, last_on=last_on)
    # What the replay tells after the last use has no counterpart in the log that ends with it.
    last_us = uses[-1].occurred_us or 0
    by_then = [t for t in replayed.triggers if _us(t.data.decided_at) <= last_us + 1]
    expected = live(uses, compiled, last_on)
    assert [_without_decision(t) for t in by_then] == [_without_decision(t) for t in expected]
    assert expected


def _us(rfc3339: str) -> int:
    from datetime import datetime

    from shared.clock import to_us

    return to_us(datetime.fromisoformat(rfc3339))


def _without_decision(trigger: Trigger) -> tuple[object, ...]:
    """Everything but the instant of the decision, a microsecond later in a log of ticks."""
    data = trigger.data
    return (
        trigger.id,
        trigger.type,
        trigger.timestamp,
        data.day,
        data.streak,
        data.missed_days,
        data.surprise,
        data.count,
        data.reasons,
    )


def test_the_last_day_is_judged_to_its_very_end_and_nothing_after_it() -> None:
    compiled = product(rules={"silent": LITERAL})
    uses = [DatedUse(None, FIRST), DatedUse(None, FIRST + 1)]
    told = replay_customer("c", Profile(), uses, product=compiled, last_on=FIRST + 2).triggers
    assert [str(t.data.day) for t in told] == [date.fromordinal(FIRST + 2).isoformat()]
    assert replay_customer("c", Profile(), uses, product=compiled, last_on=FIRST + 1).triggers == ()


def test_a_decision_falls_on_the_deadline_itself() -> None:
    compiled = product(rules={"silent": {**LITERAL, "cutoff": "14:00", "grace": "15m"}})
    uses = [DatedUse(None, FIRST)]
    (told,) = replay_customer("c", Profile(), uses, product=compiled, last_on=FIRST + 1).triggers
    assert told.data.decided_at == "2025-03-02T05:15:00Z"
