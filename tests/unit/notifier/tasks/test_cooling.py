"""A customer that was called, or that comes and goes, is not called again at once; nothing is lost by it."""

from typing import Any

import pytest

from services.notifier.tasks.folding import take_trigger, warm
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import Outcome, Task, acknowledge, finish, reopen
from shared.config import Config
from shared.triggers import Trigger, encode_trigger
from tests.unit.notifier.cases import DAY, HOUR, NOON, config, resumption, retraction, stop

WEEK = config(playbooks=[{"on": "usage.stopped", "send": ["cs-slack", "phone"], "cooldown": "7d"}])


def damped(**damping: Any) -> Config:
    return config(playbooks=[{"on": "usage.stopped", "damping": damping}])


class Desk:
    """A ledger, the configuration and what is done to them, day by day from Monday 2 March, 14:15."""

    def __init__(self, settings: Config = WEEK) -> None:
        self.settings = settings
        self.ledger = Ledger(channels=settings.channels)

    def stop(self, day: int) -> Trigger:
        trigger = stop(day=f"2026-03-{2 + day:02}")
        self.read(trigger, day)
        return trigger

    def back(self, of: Trigger, day: int) -> None:
        self.read(resumption(of, f"2026-03-{2 + day:02}"), day)

    def read(self, trigger: Trigger, day: int) -> None:
        take_trigger(self.ledger, trigger, encode_trigger(trigger), self.settings, NOON + day * DAY)

    def done(self, of: Trigger, day: int, outcome: Outcome = "reached") -> None:
        self.ledger.take(finish(self.task(of), "csm-1", outcome, "", NOON + day * DAY), NOON + day * DAY)

    def wake(self, of: Trigger, day: int) -> None:
        warm(self.ledger, self.task(of), self.settings, NOON + day * DAY)

    def task(self, of: Trigger) -> Task:
        found = self.ledger.task(of.id)
        assert found is not None
        return found

    @property
    def calls(self) -> list[int]:
        """The days of March of every task, less two."""
        return sorted(task.opened_us // DAY - NOON // DAY for task in self.ledger.changed.values())

    @property
    def trail(self) -> list[str]:
        return [line.note.change for line in self.ledger.history]


def noted() -> tuple[Desk, Trigger, Trigger]:
    """Called on day 0 and silent again on day 3: the two stops, and where they were read."""
    desk = Desk()
    first = desk.stop(0)
    desk.done(first, 0)
    return desk, first, desk.stop(3)


def test_a_stop_within_the_cooldown_opens_no_task_and_is_noted_on_the_one_before() -> None:
    desk = Desk()
    first = desk.stop(0)
    desk.done(first, 0)
    desk.back(first, 1)
    desk.stop(3)
    assert desk.calls == [0]
    assert desk.trail == ["opened", "done", "stopped_again"]
    assert desk.task(first).wake_us == NOON + 7 * DAY


def test_who_is_still_silent_when_it_is_over_is_called_then() -> None:
    desk = Desk()
    first = desk.stop(0)
    desk.done(first, 0)
    desk.back(first, 1)
    second = desk.stop(3)
    desk.wake(first, 6)
    assert desk.calls == [0]
    desk.wake(first, 7)
    assert desk.calls == [0, 7]
    assert desk.task(second).raised[0].day == second.data.day
    assert (desk.ledger.known[second.id], desk.task(first).wake_us) == (second.id, None)
    assert {d.kind for d in desk.ledger.deliveries_of(second.id)} == {"opened"}


def test_who_is_back_before_it_is_over_is_not_called() -> None:
    desk, first, second = noted()
    desk.back(second, 5)
    desk.wake(first, 7)
    assert desk.calls == [0]
    assert desk.task(first).wake_us is None
    assert desk.trail == ["opened", "done", "stopped_again", "resumed"]


def test_after_the_cooldown_a_stop_is_called_as_ever() -> None:
    desk = Desk()
    first = desk.stop(0)
    desk.done(first, 0)
    desk.back(first, 1)
    desk.stop(7)
    assert desk.calls == [0, 7]


def test_a_stop_after_the_cooldown_takes_what_was_noted_with_it() -> None:
    desk, first, second = noted()
    later = desk.stop(8)  # the sweep of the tasks has not come by yet
    assert [fact.id for fact in desk.task(later).raised] == [second.id, later.id]
    desk.wake(first, 9)
    assert desk.calls == [0, 8]


def test_a_stop_that_was_none_cools_nothing() -> None:
    desk = Desk()
    first = desk.stop(0)
    desk.read(retraction(first), 0)
    desk.stop(1)
    assert desk.calls == [0, 1]


def test_a_noted_stop_that_was_none_is_forgotten() -> None:
    desk, first, second = noted()
    desk.read(retraction(second), 4)
    assert (desk.task(first).wake_us, desk.trail[-1]) == (None, "retracted")


def test_a_call_that_is_undone_takes_what_was_noted_back() -> None:
    desk, first, second = noted()
    again = reopen(desk.task(first), "csm-1", NOON + 3 * DAY).task
    assert [fact.id for fact in again.raised] == [first.id, second.id]
    assert (again.trigger.id, again.cooling) == (second.id, None)


@pytest.mark.parametrize("rule", ["evenings", "usage-stopped"])
def test_a_cooldown_is_for_one_rule_alone(rule: str) -> None:
    desk = Desk()
    desk.done(desk.stop(0), 0)
    desk.read(stop(day="2026-03-05", rule=rule), 3)
    assert desk.calls == ([0, 3] if rule == "evenings" else [0])


# Coming and going


def test_a_customer_that_comes_and_goes_is_called_only_when_it_stays_away() -> None:
    desk = Desk(damped(returns=2, within="14d", wait="3d"))
    for day in (0, 2):
        desk.back(desk.stop(day), day + 1)
    third = desk.stop(4)
    assert desk.calls == [0, 2]
    second = stop(day="2026-03-04")
    assert desk.task(second).wake_us == NOON + 7 * DAY
    desk.wake(second, 7)
    assert desk.calls == [0, 2, 7]
    assert desk.task(third).is_live


def test_its_returns_while_damped_count_as_well() -> None:
    desk = Desk(damped(returns=2, within="6d", wait="3d"))
    for day in (0, 2, 4, 6):
        desk.back(desk.stop(day), day + 1)
    assert desk.calls == [0, 2]
    desk.stop(9)  # since day 3 it came back on days 5 and 7
    assert desk.calls == [0, 2]
    desk.back(stop(day="2026-03-11"), 10)
    desk.stop(17)  # since day 11 never
    assert desk.calls == [0, 2, 17]


def test_a_customer_that_came_back_after_a_call_is_not_said_to_come_and_go() -> None:
    desk = Desk(damped(returns=1, within="14d", wait="3d"))
    first = desk.stop(0)
    taken = acknowledge(desk.task(first), "csm-1", NOON + HOUR)
    desk.ledger.take(taken, NOON + HOUR)
    desk.back(first, 1)
    desk.stop(4)
    assert desk.calls == [0, 4]
