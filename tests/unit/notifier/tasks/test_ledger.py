"""A batch of triggers folded in memory."""

import msgspec

from services.notifier.tasks.folding import take_trigger
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import Task, finish, notified
from shared.triggers import Trigger, encode_trigger
from tests.unit.notifier.cases import DAY, NOON, config, resumption, retraction, stop

CONFIG = config()


def folded(*triggers: Trigger, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or Ledger(channels=CONFIG.channels)
    for n, trigger in enumerate(triggers):
        take_trigger(ledger, trigger, encode_trigger(trigger), CONFIG, NOON + n)
    return ledger


def only(ledger: Ledger) -> Task:
    (task,) = ledger.changed.values()
    return task


def test_a_known_trigger_changes_nothing() -> None:
    first = folded(stop(), stop())
    assert len(first.changed) == len(first.triggers) == 1
    known = Ledger(channels=CONFIG.channels, known={stop().id: stop().id})
    assert folded(stop(), ledger=known).is_empty


def test_a_stop_and_its_end_in_one_batch_are_never_heard_of() -> None:
    ledger = folded(stop(), resumption(stop()))
    assert only(ledger).cancelled == "resumed"
    assert {d.state for d in ledger.new_deliveries.values()} == {"cancelled"}


def test_a_stop_that_moves_closes_one_task_and_opens_another() -> None:
    moved = stop(day="2026-03-03")
    ledger = folded(stop(), retraction(stop()), moved)
    assert [task.state for task in ledger.changed.values()] == ["cancelled", "open"]
    assert ledger.changed[moved.id].is_live


def test_an_end_without_a_beginning_is_nothing() -> None:
    assert folded(resumption(stop())).is_empty


def test_customers_and_rules_are_kept_apart() -> None:
    ledger = folded(stop("c-1"), stop("c-2"), stop("c-1", rule="evenings"))
    assert len(ledger.changed) == 3
    folded(resumption(stop("c-1")), ledger=ledger)
    states = {task.id: task.state for task in ledger.changed.values()}
    assert states == {
        stop("c-1").id: "cancelled",
        stop("c-2").id: "open",
        stop("c-1", rule="evenings").id: "open",
    }


def test_a_retraction_finds_a_task_that_was_closed_long_ago() -> None:
    old = notified(only(folded(stop())), "phone", NOON).task
    done = finish(old, "csm-1", "false_alarm", "", NOON).task
    ledger = Ledger(channels=CONFIG.channels, tasks=[done], known={stop().id: done.id})
    take_trigger(ledger, retraction(stop()), b"{}", CONFIG, NOON + DAY)
    assert not ledger.changed
    assert [line.note.change for line in ledger.history] == ["retracted"]


def test_a_playbook_may_ask_for_a_word_of_thanks_when_they_are_back() -> None:
    thanks = config(playbooks=[{"on": "usage.stopped"}, {"on": "usage.resumed", "task": {"kind": "note"}}])
    ledger = Ledger(channels=thanks.channels)
    for trigger in (stop(), resumption(stop())):
        take_trigger(ledger, trigger, encode_trigger(trigger), thanks, NOON)
    states = [(task.plan.kind, task.state) for task in ledger.changed.values()]
    assert states == [("call", "cancelled"), ("note", "open")]
    # The next return updates the note; it does not close it.
    second = stop(day="2026-03-10")
    for trigger in (second, resumption(second, "2026-03-11")):
        take_trigger(ledger, trigger, encode_trigger(trigger), thanks, NOON)
    assert [t.plan.kind for t in ledger.changed.values() if t.is_live] == ["note"]


def test_a_retraction_that_has_a_playbook_stands_under_its_own_task_and_closes_the_stops() -> None:
    """Simulation seed 1064: it was listed under the stop's task, and its own looked like nobody's."""
    both = [
        {"on": "usage.stopped", "send": ["cs-slack", "phone"]},
        {"on": "usage.stopped.retracted", "send": ["cs-slack", "phone"], "task": {"kind": "note"}},
    ]
    sorry = config(playbooks=both)
    first, back = Ledger(channels=sorry.channels), retraction(stop())
    take_trigger(first, stop(), encode_trigger(stop()), sorry, NOON)
    arrived = [
        msgspec.structs.replace(d, state="delivered", next_attempt_us=None)
        for d in first.deliveries_of(stop().id)
    ]
    ledger = Ledger(
        channels=sorry.channels,
        tasks=[notified(only(first), "cs-slack", NOON).task],
        deliveries=arrived,
        known={stop().id: stop().id},
    )
    take_trigger(ledger, back, encode_trigger(back), sorry, NOON + DAY)
    assert {known.trigger.id: known.task_id for known in ledger.triggers} == {back.id: back.id}
    assert {t.plan.kind: t.state for t in ledger.changed.values()} == {"call": "cancelled", "note": "open"}
    # People read of the end and of the note; the machine gets the fact once.
    told = sorted((d.channel, d.kind) for d in ledger.new_deliveries.values())
    assert told == [("cs-slack", "closed"), ("cs-slack", "opened"), ("phone", "closed")]
