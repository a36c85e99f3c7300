"""The life of a call task, transition by transition."""

from collections.abc import Callable

import pytest

from services.notifier.planning.plans import Times
from services.notifier.tasks.lifecycle import (
    OUTCOMES,
    Step,
    Task,
    acknowledge,
    assign,
    finish,
    notified,
    reopen,
    snooze,
)
from services.notifier.tasks.turns import raised, resumed, retracted, woken
from shared.errors import Conflict, InvalidInput
from tests.unit.notifier.cases import DAY, HOUR, MINUTE, NOON, plan, resumption, retraction, stop, task

LATER = NOON + HOUR
TIMES = Times(notify_us=LATER, due_us=None, expires_us=None)


def kinds(step: Step) -> list[str]:
    return [announcement.kind for announcement in step.announcements]


def changes(step: Step) -> list[str]:
    return [note.change for note in step.notes]


def test_a_stop_opens_a_task_and_announces_it() -> None:
    trigger = stop()
    step = raised(None, trigger, plan(), NOON)
    assert (step.task.id, step.task.state, step.task.owner) == (trigger.id, "open", "csm-1")
    assert kinds(step) == ["opened"]
    assert changes(step) == ["opened"]


def test_a_second_stop_updates_the_open_task() -> None:
    first = task(stop(day="2026-03-02"))
    step = raised(first, stop(day="2026-03-04", episode_day=3), plan(), LATER)
    assert step.task.id == first.id
    assert [r.day.isoformat() for r in step.task.raised] == ["2026-03-02", "2026-03-04"]
    assert step.task.trigger.data.episode_day == 3
    assert kinds(step) == ["again"]


def test_a_second_stop_does_not_ping_whoever_has_the_call_in_hand() -> None:
    taken = acknowledge(task(), "csm-1", NOON).task
    (again,) = raised(taken, stop(day="2026-03-04"), plan(), LATER).announcements
    assert (again.to_people, again.to_machines) == (False, True)


def test_the_same_stop_again_changes_nothing() -> None:
    first = task()
    assert raised(first, stop(), plan(), LATER).task is first


def test_a_stop_after_the_task_was_closed_opens_another() -> None:
    closed = finish(task(), "csm-1", "reached", "", NOON).task
    step = raised(closed, stop(day="2026-04-01"), plan(), LATER)
    assert step.task.id == stop(day="2026-04-01").id


def test_the_first_channel_that_has_it_makes_it_notified() -> None:
    step = notified(task(), "phone", NOON)
    assert step.task.state == "notified"
    assert notified(step.task, "cs-slack", LATER).task is step.task


@pytest.mark.parametrize("before", ["open", "notified", "acknowledged", "snoozed"])
def test_use_closes_a_task_in_any_live_state(before: str) -> None:
    step = resumed(_in_state(before), resumption(stop()), LATER)
    assert (step.task.state, step.task.cancelled, step.task.closed_us) == ("cancelled", "resumed", LATER)
    assert kinds(step) == ["closed"]
    assert step.withdraws == "all"


def test_use_before_a_later_silence_leaves_that_one_open() -> None:
    # Two episodes told together: the first ended on the 3rd, the second began on the 5th.
    first, second = stop(day="2026-03-02"), stop(day="2026-03-05")
    both = raised(task(first), second, plan(), NOON).task
    step = resumed(both, resumption(first, "2026-03-03"), LATER)
    assert step.task.is_live
    assert [r.id for r in step.task.raised] == [second.id]
    assert resumed(step.task, resumption(second, "2026-03-06"), LATER).task.cancelled == "resumed"


def test_use_ends_an_episode_whose_first_call_was_done_before_its_reminder() -> None:
    reminder = stop(day="2026-03-04", episode_day=3)
    step = resumed(task(reminder), resumption(stop(day="2026-03-02"), "2026-03-05"), LATER)
    assert step.task.cancelled == "resumed"


def test_a_retraction_closes_the_task_of_its_stop() -> None:
    step = retracted(task(), retraction(stop()), LATER)
    assert (step.task.state, step.task.cancelled) == ("cancelled", "retracted")


def test_a_retracted_reminder_leaves_the_stop_before_it_standing() -> None:
    first, reminder = stop(day="2026-03-02"), stop(day="2026-03-04", episode_day=3)
    both = raised(task(first), reminder, plan(), NOON).task
    step = retracted(both, retraction(reminder), LATER)
    assert step.task.is_live
    assert kinds(step) == []
    assert retracted(step.task, retraction(first), LATER).task.cancelled == "retracted"


def test_a_retraction_of_something_else_changes_nothing() -> None:
    one = task()
    assert retracted(one, retraction(stop("c-other")), LATER) == Step(task=one)


def test_a_retraction_after_the_call_is_written_into_its_record() -> None:
    done = finish(task(), "csm-1", "false_alarm", "", NOON).task
    step = retracted(done, retraction(stop()), LATER)
    assert step.task is done
    assert changes(step) == ["retracted"]
    assert kinds(step) == []


def test_acknowledging_twice_is_once() -> None:
    taken = acknowledge(task(), "csm-1", NOON)
    assert (taken.task.state, taken.task.acknowledged_by) == ("acknowledged", "csm-1")
    assert acknowledge(taken.task, "csm-1", LATER) == Step(task=taken.task)


def test_a_call_in_somebodys_hands_is_not_taken_by_another() -> None:
    taken = acknowledge(task(), "csm-1", NOON).task
    with pytest.raises(Conflict, match="csm-1 has already taken this call"):
        acknowledge(taken, "csm-2", LATER)


def test_a_snoozed_task_is_picked_up_again() -> None:
    step = acknowledge(_in_state("snoozed"), "csm-1", LATER)
    assert (step.task.state, step.task.snoozed_until_us) == ("acknowledged", None)


def test_snoozing_keeps_people_quiet_and_machines_informed() -> None:
    step = snooze(task(), "csm-1", LATER, "closed today", NOON)
    assert (step.task.state, step.task.snooze_reason) == ("snoozed", "closed today")
    assert step.withdraws == "people"
    assert snooze(step.task, "csm-1", LATER, "closed today", NOON) == Step(task=step.task)


@pytest.mark.parametrize("until_us", [NOON, NOON - 1, NOON + 93 * DAY])
def test_snoozing_until_the_past_or_for_ever_is_refused(until_us: int) -> None:
    with pytest.raises(InvalidInput, match="92 days"):
        snooze(task(), "csm-1", until_us, "", NOON)


def test_a_snoozed_task_comes_back_with_new_times_and_a_word_to_people_alone() -> None:
    asleep = snooze(task(), "csm-1", LATER, "", NOON).task
    assert asleep.wake_us == LATER
    assert woken(asleep, LATER - 1).task is asleep
    step = woken(asleep, LATER)
    assert (step.task.state, step.task.plan.times) == ("open", TIMES)
    (nudge,) = step.announcements
    assert (nudge.kind, nudge.to_machines) == ("woken", False)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_closes_the_task(outcome: str) -> None:
    step = finish(task(), "csm-1", outcome, "会話済み", NOON)  # type: ignore[arg-type]
    assert (step.task.state, step.task.outcome, step.task.note) == ("done", outcome, "会話済み")
    assert step.task.wake_us is None
    assert step.withdraws == "all"


def test_a_double_click_on_done_is_one_outcome() -> None:
    done = finish(task(), "csm-1", "reached", "spoke to the owner", NOON).task
    assert finish(done, "csm-1", "reached", "spoke to the owner", LATER) == Step(task=done)
    assert finish(done, "csm-1", "reached", "", LATER) == Step(task=done)


def test_another_outcome_after_done_is_refused() -> None:
    done = finish(task(), "csm-1", "reached", "", NOON).task
    with pytest.raises(Conflict, match=r"done by csm-1 \(reached\)"):
        finish(done, "csm-1", "churn_risk", "", LATER)


def test_an_outcome_can_be_undone() -> None:
    done = finish(task(), "csm-1", "reached", "x", NOON).task
    back = reopen(done, "csm-1", LATER)
    assert (back.task.state, back.task.outcome, back.task.closed_us) == ("acknowledged", None, None)
    assert reopen(back.task, "csm-1", LATER).task is back.task


def test_what_closed_by_itself_is_not_undone() -> None:
    gone = resumed(task(), resumption(stop()), NOON).task
    with pytest.raises(Conflict, match="using the product again"):
        reopen(gone, "csm-1", LATER)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: acknowledge(t, "x", LATER),
        lambda t: snooze(t, "x", LATER + 1, "", LATER),
        lambda t: finish(t, "x", "reached", "", LATER),
        lambda t: assign(t, "x", "csm-2", LATER),
    ],
)
def test_nothing_is_done_to_a_task_that_closed_by_itself(change: Callable[[Task], Step]) -> None:
    for closed in (
        resumed(task(), resumption(stop()), NOON).task,
        retracted(task(), retraction(stop()), NOON).task,
        woken(task(expires_us=NOON), NOON).task,
    ):
        with pytest.raises(Conflict, match="nothing can be done any more"):
            change(closed)


def test_an_untouched_task_expires() -> None:
    fresh = task(expires_us=LATER)
    assert fresh.wake_us == LATER
    step = woken(fresh, LATER)
    assert (step.task.state, step.withdraws, kinds(step)) == ("expired", "all", [])


def test_a_call_in_hand_does_not_expire_from_under_it() -> None:
    taken = acknowledge(task(expires_us=LATER), "csm-1", NOON).task
    assert taken.wake_us is None
    assert woken(taken, LATER + DAY).task is taken


def test_nobody_acknowledging_escalates_once() -> None:
    waiting = task(escalate={"csm-2": 30 * MINUTE}, expires_us=NOON + DAY)
    assert waiting.wake_us == NOON + 30 * MINUTE
    step = woken(waiting, NOON + 30 * MINUTE)
    assert kinds(step) == ["escalated"]
    assert step.task.wake_us == NOON + DAY
    assert step.task.owner == "csm-1"


def test_it_goes_up_step_by_step_and_each_step_is_in_the_trail() -> None:
    waiting = task(escalate={"csm-2": HOUR, "csm-3": 2 * HOUR})
    first = woken(waiting, NOON + HOUR)
    assert ([n.detail for n in first.notes], first.announcements[0].to) == (["csm-2"], "csm-2")
    second = woken(first.task, NOON + 2 * HOUR)
    assert ([n.detail for n in second.notes], second.announcements[0].to) == (["csm-3"], "csm-3")
    assert (second.task.heard, second.task.wake_us) == (("csm-2", "csm-3"), None)


def test_whoever_takes_it_after_the_first_step_is_left_alone_by_the_second() -> None:
    told = woken(task(escalate={"csm-2": HOUR, "csm-3": 2 * HOUR}), NOON + HOUR).task
    assert acknowledge(told, "csm-2", NOON + HOUR).task.wake_us is None


def test_a_call_back_from_snooze_goes_up_from_the_start_again() -> None:
    told = woken(task(escalate={"csm-2": HOUR}), NOON + HOUR).task
    asleep = snooze(told, "csm-1", NOON + DAY, "", NOON + HOUR).task
    back = woken(asleep, NOON + DAY).task
    assert (back.heard, back.wake_us) == ((), NOON + DAY + HOUR)


def test_an_acknowledged_task_does_not_escalate() -> None:
    waiting = task(escalate={"csm-2": MINUTE})
    assert acknowledge(waiting, "csm-1", NOON).task.wake_us is None


def test_escalation_comes_before_expiry_at_the_same_instant() -> None:
    both = task(escalate={"csm-2": HOUR}, expires_us=NOON + HOUR)
    step = woken(both, NOON + HOUR)
    assert kinds(step) == ["escalated"]
    assert woken(step.task, NOON + HOUR).task.state == "expired"


def test_a_task_handed_over_waits_for_the_new_owner_to_take_it() -> None:
    taken = acknowledge(task(), "csm-1", NOON).task
    given = assign(taken, "csm-1", "csm-2", LATER).task
    assert (given.owner, given.state, given.acknowledged_by) == ("csm-2", "notified", None)
    assert assign(given, "csm-1", "csm-2", LATER).task is given


def test_an_endless_note_is_refused() -> None:
    with pytest.raises(InvalidInput, match="4000 characters"):
        finish(task(), "csm-1", "reached", "あ" * 4001, NOON)


def _in_state(state: str) -> Task:
    fresh = task()
    match state:
        case "notified":
            return notified(fresh, "phone", NOON).task
        case "acknowledged":
            return acknowledge(fresh, "csm-1", NOON).task
        case "snoozed":
            return snooze(fresh, "csm-1", LATER, "", NOON).task
        case _:
            return fresh
