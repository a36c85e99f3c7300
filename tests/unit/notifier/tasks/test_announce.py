"""Which deliveries follow from a step, and which are taken back."""

import msgspec

from services.notifier.planning.contact import Contact
from services.notifier.tasks.announce import Delivery, Mail, face, mail_of
from services.notifier.tasks.lifecycle import Step, Task, acknowledge, finish, notified, snooze
from services.notifier.tasks.turns import raised, resumed, woken
from shared.config import SlackChannel, WebhookChannel
from tests.unit.notifier.cases import HOUR, MINUTE, NOON, config, plan, resumption, stop, task

CHANNELS = config().channels
LATER = NOON + HOUR


def opened(**values: object) -> tuple[Task, list[Delivery]]:
    step = raised(None, stop(), plan(**values), NOON)  # type: ignore[arg-type]
    return step.task, list(mail_of(step, [], CHANNELS, NOON).new)


def delivered(deliveries: list[Delivery]) -> list[Delivery]:
    return [msgspec.structs.replace(d, state="delivered", next_attempt_us=None) for d in deliveries]


def mail(step: Step, earlier: list[Delivery], now_us: int = LATER) -> Mail:
    return mail_of(step, earlier, CHANNELS, now_us)


def test_a_task_is_announced_once_a_channel_when_its_window_opens() -> None:
    _, deliveries = opened(notify_us=NOON + MINUTE)
    assert [(d.channel, d.kind, d.next_attempt_us) for d in deliveries] == [
        ("cs-slack", "opened", NOON + MINUTE),
        ("phone", "opened", NOON + MINUTE),
    ]
    assert [d.id for d in deliveries] == [f"{stop().id}.cs-slack", f"{stop().id}.phone"]


def test_a_channel_that_wants_facts_at_once_does_not_wait_for_the_window() -> None:
    at_once = {**CHANNELS, "phone": CHANNELS["phone"].model_copy(update={"timing": "at_once"})}
    step = raised(None, stop(), plan(notify_us=LATER), NOON)
    assert [d.next_attempt_us for d in mail_of(step, [], at_once, NOON).new] == [LATER, NOON]


def test_a_channel_that_the_configuration_lost_is_passed_over() -> None:
    step = raised(None, stop(), plan(channels=("gone", "phone")), NOON)
    assert [d.channel for d in mail(step, []).new] == ["phone"]


def test_an_end_is_told_only_where_the_beginning_was() -> None:
    one, (slack, phone) = opened()
    earlier = [*delivered([slack]), phone]
    found = mail(resumed(one, resumption(stop()), LATER), earlier)
    assert [(d.channel, d.kind) for d in found.new] == [("cs-slack", "closed")]
    assert found.withdrawn == (phone.id,)


def test_where_nobody_heard_of_a_stop_nobody_hears_of_its_end() -> None:
    one, deliveries = opened()
    found = mail(resumed(one, resumption(stop()), LATER), deliveries)
    assert found.new == ()
    assert set(found.withdrawn) == {d.id for d in deliveries}


def test_what_may_have_arrived_counts_as_told() -> None:
    one, (slack, phone) = opened()
    unsure = [msgspec.structs.replace(slack, uncertain=True), phone]
    found = mail(resumed(one, resumption(stop()), LATER), unsure)
    assert [d.channel for d in found.new] == ["cs-slack"]


def test_an_end_waits_behind_a_beginning_that_is_being_sent() -> None:
    one, (slack, phone) = opened()
    sending = [msgspec.structs.replace(slack, lease_until_us=LATER + MINUTE), phone]
    (end,) = mail(resumed(one, resumption(stop()), LATER), sending).new
    assert end.next_attempt_us == LATER + MINUTE


def test_a_second_stop_replaces_the_message_that_people_have_not_read_yet() -> None:
    one, deliveries = opened()
    found = mail(raised(one, stop(day="2026-03-04"), plan(), LATER), deliveries)
    assert [(d.channel, d.kind) for d in found.new] == [("cs-slack", "again"), ("phone", "again")]
    assert found.withdrawn == (f"{stop().id}.cs-slack",)  # the machine gets both facts


def test_a_second_stop_while_the_call_is_held_replaces_the_message_that_is_held() -> None:
    first = raised(None, stop(), plan(), NOON, held="an outage")
    held = list(mail_of(first, [], CHANNELS, NOON).new)
    found = mail(raised(first.task, stop(day="2026-03-04"), plan(), LATER), held)
    assert {d.state for d in (*held, *found.new)} == {"held"}
    assert found.withdrawn == (f"{stop().id}.cs-slack",)


def test_a_machine_gets_the_second_stop_of_a_call_in_hand_and_people_do_not() -> None:
    one, deliveries = opened()
    taken = acknowledge(one, "csm-1", NOON).task
    found = mail(raised(taken, stop(day="2026-03-04"), plan(), LATER), delivered(deliveries))
    assert [d.channel for d in found.new] == ["phone"]


def test_snoozing_takes_back_messages_to_people_alone() -> None:
    one, (slack, phone) = opened(notify_us=LATER)
    found = mail(snooze(one, "csm-1", LATER, "", NOON), [slack, phone])
    assert found.withdrawn == (slack.id,)


def test_a_call_already_made_takes_back_everything_unsent() -> None:
    one, (slack, phone) = opened()
    found = mail(finish(one, "csm-1", "reached", "", LATER), [*delivered([slack]), phone])
    assert found == Mail(withdrawn=(phone.id,))


def test_a_snoozed_task_nudges_people_at_its_new_time() -> None:
    one, deliveries = opened(contact=Contact(zone="Asia/Tokyo", window="15:16-16:00"))
    asleep = snooze(one, "csm-1", LATER, "", NOON).task
    (nudge,) = mail(woken(asleep, LATER), delivered(deliveries)).new
    assert (nudge.channel, nudge.kind, nudge.next_attempt_us) == ("cs-slack", "woken", LATER + MINUTE)


def test_each_step_up_is_for_its_own_addressee_and_replaces_nobody_elses_message() -> None:
    one, deliveries = opened(escalate={"csm-2": HOUR, "csm-3": 2 * HOUR})
    up = woken(one, LATER)
    (first,) = mail(up, delivered(deliveries)).new
    further = woken(up.task, LATER + HOUR)
    (second,) = (found := mail(further, [*delivered(deliveries), first], LATER + HOUR)).new
    assert (first.addressee, second.addressee) == ("csm-2", "csm-3")
    assert found.withdrawn == ()


def test_two_nudges_of_one_task_are_two_deliveries() -> None:
    one = snooze(task(), "csm-1", LATER, "", NOON).task
    (first,) = mail(woken(one, LATER), []).new
    again = snooze(woken(one, LATER).task, "csm-1", LATER + HOUR, "", LATER).task
    (second,) = mail(woken(again, LATER + HOUR), [first], LATER + HOUR).new
    assert first.id != second.id


# Messages that can be changed

BOT = {
    "bot": SlackChannel(kind="slack", token="xoxb-1", channel="C1"),
    "tool": WebhookChannel(kind="webhook", preset="hubspot"),
    **CHANNELS,
}


def posted(channel: str = "bot", reference: str = "C1/1") -> tuple[Task, Delivery]:
    one = raised(None, stop(), plan(channels=(channel,)), NOON).task
    (delivery,) = mail_of(raised(None, stop(), plan(channels=(channel,)), NOON), [], BOT, NOON).new
    return one, msgspec.structs.replace(
        delivery, state="delivered", next_attempt_us=None, reference=reference
    )


def changed(step: Step, earlier: list[Delivery]) -> list[tuple[str, str]]:
    mail = mail_of(step, earlier, BOT, LATER, is_new_face=True)
    return [(d.kind, d.reference) for d in mail.new]


def test_a_message_that_can_be_changed_is_when_its_task_is() -> None:
    one, delivery = posted()
    assert changed(acknowledge(one, "csm-1", LATER), [delivery]) == [("changed", "C1/1")]


def test_a_message_whose_name_is_not_known_yet_cannot_be_changed() -> None:
    one, delivery = posted(reference="")
    assert changed(acknowledge(one, "csm-1", LATER), [delivery]) == []


def test_changes_that_wait_are_not_asked_for_twice() -> None:
    one, delivery = posted()
    step = acknowledge(one, "csm-1", LATER)
    (waits,) = mail_of(step, [delivery], BOT, LATER, is_new_face=True).new
    assert changed(finish(step.task, "csm-1", "reached", "", LATER), [delivery, waits]) == []
    sending = msgspec.structs.replace(waits, lease_until_us=LATER + MINUTE)
    assert changed(step, [delivery, sending]) == [("changed", "C1/1")]


def test_an_end_is_written_into_the_newest_message_and_the_older_ones_are_changed() -> None:
    one, first = posted()
    second = msgspec.structs.replace(first, id="2", kind="again", created_us=LATER, reference="C1/2")
    step = resumed(one, resumption(stop()), LATER)
    assert changed(step, [second, first]) == [("closed", "C1/2"), ("changed", "C1/1")]


def test_a_tools_task_is_closed_with_ours_and_left_alone_before() -> None:
    one, delivery = posted("tool", "4711")
    assert changed(acknowledge(one, "csm-1", LATER), [delivery]) == []
    assert changed(finish(one, "csm-1", "reached", "", LATER), [delivery]) == [("changed", "4711")]
    assert changed(resumed(one, resumption(stop()), LATER), [delivery]) == [("closed", "4711")]


def test_that_a_channel_has_it_shows_nowhere_and_who_has_it_does() -> None:
    one, _ = posted()
    assert face(notified(one, "bot", LATER).task) == face(one)
    assert face(acknowledge(one, "csm-1", LATER).task) != face(one)
