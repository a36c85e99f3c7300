"""Slack as a bot: messages that follow their tasks, one a second, many calls in one digest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.notifier.channels.http import Answer
from services.notifier.delivery import channel_rows
from services.notifier.delivery.sender import FRESH_US, Sender
from services.notifier.tasks.lifecycle import acknowledge, assign, finish, reopen, snooze
from tests.integration.notifier.slack import Slack, buttons_of, text_of, with_bot
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import HOUR, NOON, resumption, retraction, stop

ACTIONS = ["called", "no_answer", "snooze", "not_needed", "open"]


@asynccontextmanager
async def slack_world(path: Path, **values: Any) -> AsyncIterator[tuple[World, Slack]]:
    async with world(path, with_bot(**values), Slack) as here:
        assert isinstance(here.receivers, Slack)
        yield here, here.receivers


async def stopped(here: World, count: int = 1) -> None:
    await here.read(*(stop(f"c-{n}", csm="csm-1", name=f"店 {n}", phone="03-1") for n in range(count)))
    await here.send()


async def until_quiet(here: World, seconds: int = 10) -> None:
    for _ in range(seconds):
        await here.after(seconds=1)


async def states(here: World) -> set[tuple[str, str, str]]:
    return {(d.kind, d.state, d.last_error) for d in await here.deliveries()}


async def test_a_call_comes_with_its_buttons(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        assert slack.only["channel"] == "#calls"
        assert "<@U1>" in text_of(slack.only)
        assert buttons_of(slack.only) == ACTIONS
        assert (await here.task()).state == "notified"


async def test_without_a_signing_secret_there_is_nothing_to_click_but_the_link(tmp_path: Path) -> None:
    async with slack_world(tmp_path, signing_secret=None) as (here, slack):
        await stopped(here)
        assert buttons_of(slack.only) == ["open"]


async def test_the_message_follows_the_task_wherever_it_is_changed(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        (task,) = await here.tasks()
        changes = [
            (lambda t, now: acknowledge(t, "csm-2", now), "Itoさんが対応中です。", ACTIONS),
            (lambda t, now: snooze(t, "csm-1", now + HOUR, "", now), "保留中です。", ACTIONS),
            (lambda t, now: assign(t, "csm-2", "csm-2", now), "<@U2>", ACTIONS),
            (lambda t, now: finish(t, "csm-1", "reached", "", now), "佐藤: Reached", ["open"]),
            (lambda t, now: reopen(t, "csm-1", now), "佐藤 has taken this call.", ACTIONS),
        ]
        for change, said, buttons in changes:
            await here.notifier.desk.change(task.id, change)
            await here.after(seconds=1)
            assert said in text_of(slack.only)
            assert buttons_of(slack.only) == buttons
        assert len(slack.posted_us) == 1


@pytest.mark.parametrize(("end", "said"), [(resumption, "利用が再開"), (retraction, "取り消し")])
async def test_the_end_of_a_stop_is_written_into_its_message(tmp_path: Path, end: Any, said: str) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        await here.read(end(stop("c-0")))
        await until_quiet(here, 2)
        assert said in text_of(slack.only)
        assert buttons_of(slack.only) == ["open"]
        assert await states(here) == {("opened", "delivered", ""), ("closed", "delivered", "")}


async def test_a_change_while_the_message_is_on_its_way_reaches_it_afterwards(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await here.read(stop("c-0", csm="csm-1"))
        sender = Sender(here.parts, here.notifier.channels)
        (parcel,) = await sender.claim()
        (task,) = await here.tasks()
        await here.notifier.desk.change(task.id, lambda t, now: acknowledge(t, "csm-2", now))
        await sender.deliver(parcel)
        await sender.record()
        assert "対応中" not in text_of(slack.only)
        await here.after(seconds=1)
        assert "Itoさんが対応中です。" in text_of(slack.only)


async def test_every_message_about_a_task_is_changed(tmp_path: Path) -> None:
    escalating = {"escalate": {"after": "2h", "to": "lead"}}
    async with slack_world(tmp_path, playbook=escalating) as (here, slack):
        await stopped(here)
        await here.after(hours=2)
        first, second = slack.messages
        assert "<@U2>" in text_of(slack.messages[second])
        await here.read(resumption(stop("c-0")))
        await until_quiet(here, 3)
        for ts in (first, second):
            assert buttons_of(slack.messages[ts]) == ["open"]


async def test_three_calls_come_one_by_one_a_second_apart(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here, 3)
        await until_quiet(here, 4)
        assert slack.posted_us == [NOON, NOON + 1_000_000, NOON + 2_000_000]
        assert all(buttons_of(message) == ACTIONS for message in slack.messages.values())


async def test_a_thousand_stops_are_with_slack_within_four_seconds(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await here.publish(*(stop(f"c-{n}", csm="csm-1", name=f"店 {n}") for n in range(1000)))
        while await here.notifier.intake.step():
            pass
        await here.send()
        await until_quiet(here, 4)
        assert slack.posted_us == [NOON + n * 1_000_000 for n in range(4)]
        everything = "".join(map(text_of, slack.messages.values()))
        assert all(f"|店 {n} 様>" in everything for n in range(1000))
        assert {d.state for d in await here.deliveries()} == {"delivered"}


async def test_a_digest_follows_the_tasks_in_it(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here, 30)
        assert "お電話のご案内 30件" in text_of(slack.only)
        tasks = {task.customer_id: task.id for task in await here.tasks()}
        await here.notifier.desk.change(tasks["c-3"], lambda t, now: finish(t, "csm-1", "reached", "", now))
        await here.read(resumption(stop("c-7")))
        await until_quiet(here, 3)
        assert "|店 3 様>~ · 佐藤さん" in text_of(slack.only)
        assert "|店 7 様>~ · " in text_of(slack.only)
        assert "• <https://calls.example/tasks/" in text_of(slack.only)
        assert len(slack.posted_us) == 1


async def test_all_that_changes_in_a_digest_within_a_second_is_one_change_of_it(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here, 30)
        await here.read(*(resumption(stop(f"c-{n}")) for n in range(30)))
        await until_quiet(here, 3)
        assert len(slack.called_us) == 2


async def test_two_senders_together_keep_to_one_message_a_second(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await here.read(*(stop(f"c-{n}") for n in range(3)))
        senders = [Sender(here.parts, here.notifier.channels) for _ in range(2)]
        for _ in range(5):
            for sender in senders:
                await sender.step()
            await here.after(milliseconds=500)
        assert slack.posted_us == [NOON, NOON + 1_000_000, NOON + 2_000_000]


async def test_retry_after_holds_the_whole_channel(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        slack.will_answer("slack.example", Answer(status=429, headers={"retry-after": "30"}))
        await stopped(here, 2)
        await until_quiet(here, 29)
        assert len(slack.called_us) == 1
        await until_quiet(here, 3)
        assert len(slack.posted_us) == 2


async def test_a_slack_that_is_down_is_probed_ever_less_often_though_new_calls_come(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        slack.will_answer("slack.example", *[Answer(status=503)] * 100)
        for n in range(60):
            await here.read(stop(f"c-{n}"))
            await here.after(seconds=1)
        called = [(at_us - NOON) // 1_000_000 for at_us in slack.called_us]
        assert called == [1, 2, 3, 4, 5, 10, 20, 40]  # rests of 5, 10, 20 and 40 seconds


@pytest.mark.parametrize("error", ["channel_not_found", "is_archived", "invalid_auth"])
async def test_a_channel_that_is_gone_is_disabled_by_name_and_its_operators_hear_of_it(
    tmp_path: Path, error: str
) -> None:
    async with slack_world(tmp_path, notify="phone") as (here, slack):
        slack.errors.append(error)
        await stopped(here)
        await here.read(stop("c-9"))
        await here.after(seconds=1)
        assert len(slack.called_us) == 1
        errors = {d.last_error for d in await here.deliveries() if d.channel == "bot"}
        assert errors == {error, f"the channel is disabled: {error}"}
        (notice,) = [t for t in await here.tasks() if t.trigger.type == "channel.disabled"]
        assert notice.is_live
        assert notice.trigger.data.customer.name == f"bot: {error}"
        (told,) = slack.to("phone")
        assert f"bot: {error}".encode() in told.body
        stops = [t for t in await here.tasks() if t.trigger.type == "usage.stopped"]
        assert all(t.is_live for t in stops)  # the calls themselves are never lost


async def test_a_channel_that_is_gone_once_more_is_told_of_once_more(tmp_path: Path) -> None:
    async with slack_world(tmp_path, notify="phone") as (here, slack):
        for customer in ("c-1", "c-2"):
            slack.errors.append("invalid_auth")
            await here.read(stop(customer))
            await here.after(seconds=1)
            async with here.database.begin() as connection:
                await channel_rows.enable(connection, "bot")
        open_notices = [t for t in await here.tasks(is_live=True) if t.trigger.type == "channel.disabled"]
        assert len(open_notices) == len(slack.to("phone")) == 2


async def test_an_error_that_concerns_one_message_gives_up_that_message_alone(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        slack.errors.append("no_text")
        await stopped(here)
        assert await states(here) == {("opened", "dead", "no_text")}
        await here.read(stop("c-9"))
        await here.after(seconds=1)
        assert len(slack.messages) == 1


async def test_what_slack_cannot_do_just_now_is_tried_again(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        slack.errors.append("internal_error")
        await stopped(here)
        await here.after(seconds=7)
        assert await states(here) == {("opened", "delivered", "")}


async def test_a_layout_that_slack_refuses_does_not_cost_the_call(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        slack.errors.append("invalid_blocks")
        await stopped(here)
        assert slack.only["blocks"] == []
        assert "店 0 様" in slack.only["text"]


async def test_the_end_of_a_stop_whose_message_was_deleted_is_said_anew(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        slack.messages.clear()
        await here.read(resumption(stop("c-0")))
        await here.after(seconds=1)
        assert "利用が再開" in text_of(slack.only)


async def test_a_change_of_a_message_that_was_deleted_is_not_needed(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        slack.messages.clear()
        (task,) = await here.tasks()
        await here.notifier.desk.change(task.id, lambda t, now: acknowledge(t, "csm-2", now))
        await here.after(seconds=1)
        assert slack.messages == {}
        assert ("changed", "cancelled", "message_not_found") in await states(here)


async def test_the_end_is_said_anew_though_another_change_of_the_message_waits_before_it(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here)
        slack.messages.clear()
        (task,) = await here.tasks()
        await here.notifier.desk.change(task.id, lambda t, now: acknowledge(t, "csm-2", now))
        here.clock.advance(timedelta(milliseconds=1))
        await here.read(resumption(stop("c-0")))
        await here.after(seconds=1)
        assert "利用が再開" in text_of(slack.only)


async def test_a_change_that_waited_in_its_queue_still_knows_what_its_message_says(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as (here, slack):
        await stopped(here, 4)
        await here.read(resumption(stop("c-1")), resumption(stop("c-2")))
        here.clock.advance(timedelta(seconds=1))
        (parcel,) = await here.notifier.sender.claim()
        here.clock.advance(timedelta(microseconds=FRESH_US))
        await here.notifier.sender.deliver(parcel)
        await here.notifier.sender.record()
        assert text_of(slack.only).count("利用が再開") == 2
        assert {d.state for d in await here.deliveries()} == {"delivered"}
