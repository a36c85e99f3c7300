"""A batch of triggers folded in memory."""

from services.notifier.ledger import Ledger, take_trigger
from services.notifier.tasks import Task, finish, notified
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
