"""Claiming, sending, recording; what each answer of a receiver leads to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from services.notifier.channels.http import Answer, Request
from services.notifier.delivery import channel_rows, sent
from services.notifier.delivery.posting import LEASE_US
from services.notifier.delivery.resting import FAILURES_MAX
from services.notifier.delivery.retry import ATTEMPTS_MAX
from services.notifier.delivery.sender import Sender
from services.notifier.delivery.sent import DeliveryFilter
from services.notifier.desk.actions import Decide
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.lifecycle import acknowledge, finish, snooze
from shared.config import Config
from shared.database import Database
from shared.errors import StoreUnavailable
from tests.integration.notifier.world import OK, Receivers, World, world
from tests.unit.notifier.cases import HOUR, NOON, config, resumption, stop

FAILED = Answer(status=500, body=b"oops")
SILENT = Answer(error="no answer in time", uncertain=True)
REFUSED = Answer(error="connection refused")


def phone_alone(**product: object) -> Config:
    return config(**{"playbooks": [{"on": "usage.stopped", "send": ["phone"]}], **product})


async def phone_delivery(here: World) -> Delivery:
    (found,) = [d for d in await here.deliveries() if d.channel == "phone" and d.kind == "opened"]
    return found


async def attempts(here: World) -> Sequence[tuple[str, str]]:
    return [(row.result, row.detail) for row in await here.rows("attempts")]


async def test_a_delivered_task_is_notified(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        await here.send()
        assert (await here.task()).state == "notified"
        assert {d.state for d in await here.deliveries()} == {"delivered"}
        assert await attempts(here) == [("delivered", "200"), ("delivered", "200")]


class FailsToCommitOnce(Database):
    """The database of a world, whose next commit but one fails."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.begun_count = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        self.begun_count += 1
        async with super().begin() as connection:
            yield connection
            if self.begun_count == 2:
                raise StoreUnavailable("the database does not answer: gone")


async def test_what_was_sent_is_remembered_until_a_commit_has_held(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        await here.read(stop())
        parts = msgspec.structs.replace(here.parts, database=FailsToCommitOnce(here.database))
        sender = Sender(parts, here.notifier.channels)
        with pytest.raises(StoreUnavailable):
            await sender.step()
        await sender.record()
        assert (await phone_delivery(here)).state == "delivered"
        assert len(here.receivers.to("phone")) == 1


class Watched(Database):
    """The database of a world, which tells of every transaction that begins."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        self.begun.put_nowait(None)
        async with super().begin() as connection:
            yield connection


class Hangs(Receivers):
    """Fails five times and then says nothing until told to."""

    def __init__(self) -> None:
        super().__init__()
        self.will_answer("phone", *[FAILED] * FAILURES_MAX)
        self.probed, self.released = asyncio.Event(), asyncio.Event()

    async def send(self, request: Request) -> Answer:
        answer = await super().send(request)
        if answer is OK:
            self.probed.set()
            await self.released.wait()
        return answer


async def test_a_failing_channel_is_probed_with_one_delivery_however_long_it_hangs(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone(), lambda _clock: Hangs()) as here:
        await here.read(*(stop(f"c-{n}") for n in range(20)))
        await here.send()
        here.clock.advance(timedelta(seconds=10))
        receivers, database = here.receivers, Watched(here.database)
        assert isinstance(receivers, Hangs)
        sender = Sender(msgspec.structs.replace(here.parts, database=database), here.notifier.channels)
        stopping = asyncio.Event()
        running = asyncio.create_task(sender.run(stopping))
        await receivers.probed.wait()
        for _ in range(3):
            while not database.begun.empty():
                database.begun.get_nowait()
            sender.wake()
            await database.begun.get()
        assert len(receivers.requests) == FAILURES_MAX + 1
        receivers.released.set()
        stopping.set()
        await running


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (FAILED, "500 oops"),
        (Answer(status=429, headers={"retry-after": "2"}), "429"),
        (Answer(status=404, body=b"not  here\n"), "404 not here"),
        (Answer(status=301, headers={"location": "https://x"}), "301: redirects are not followed"),
        (REFUSED, "connection refused"),
        (SILENT, "no answer in time"),
    ],
)
async def test_what_fails_is_tried_again_a_few_seconds_later_with_the_same_id(
    tmp_path: Path, answer: Answer, detail: str
) -> None:
    async with world(tmp_path, phone_alone()) as here:
        here.receivers.will_answer("phone", answer)
        await here.read(stop())
        await here.send()
        waiting = await phone_delivery(here)
        assert (waiting.state, waiting.attempt_count) == ("pending", 1)
        assert detail in waiting.last_error
        assert 4_000_000 <= (waiting.next_attempt_us or 0) - NOON <= 6_000_000
        await here.after(seconds=6)
        assert (await phone_delivery(here)).state == "delivered"
        assert [r.headers["webhook-id"] for r in here.receivers.to("phone")] == [stop().id, stop().id]


async def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        here.receivers.will_answer("phone", Answer(status=503, headers={"retry-after": "120"}))
        await here.read(stop())
        await here.send()
        assert (await phone_delivery(here)).next_attempt_us == NOON + 120_000_000


async def test_a_receiver_that_fails_for_a_day_is_given_up_and_can_be_replayed(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        here.receivers.will_answer("phone", *[FAILED] * ATTEMPTS_MAX)
        await here.read(stop())
        with capture_logs() as lines:
            for _ in range(ATTEMPTS_MAX):
                await here.after(hours=10)
        (told,) = [line for line in lines if line["log_level"] == "error"]
        assert (told["trigger"], told["customer"]) == (stop().id, stop().data.customer.id)
        dead = await phone_delivery(here)
        assert (dead.state, dead.attempt_count, dead.next_attempt_us) == ("dead", ATTEMPTS_MAX, None)
        assert (await here.task()).is_live  # the task itself is never lost
        async with here.database.begin() as connection:
            wanted = DeliveryFilter(product="reserve")
            assert await sent.replay(connection, wanted, now_us=here.clock.now_us()) == 1
        await here.send()
        assert (await phone_delivery(here)).state == "delivered"


async def test_410_disables_the_endpoint_for_everything(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        here.receivers.will_answer("phone", Answer(status=410))
        await here.read(stop("c-1"))
        await here.send()
        await here.read(stop("c-2"))
        await here.send()
        assert len(here.receivers.to("phone")) == 1
        assert {d.state for d in await here.deliveries()} == {"dead"}
        async with here.database.begin() as connection:
            await channel_rows.enable(connection, "phone")
            await sent.replay(connection, DeliveryFilter(), now_us=here.clock.now_us())
        await here.send()
        assert {d.state for d in await here.deliveries()} == {"delivered"}


async def test_a_slack_channel_that_is_gone_is_given_up_at_once_and_others_are_not(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.receivers.will_answer("slack", Answer(status=404, body=b"channel_not_found"))
        await here.read(stop())
        await here.send()
        assert {d.channel: (d.state, d.last_error) for d in await here.deliveries()} == {
            "cs-slack": ("dead", "404 channel_not_found"),
            "phone": ("delivered", ""),
        }


async def test_blocks_that_slack_refuses_are_sent_as_plain_words(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.receivers.will_answer("slack", Answer(status=400, body=b"invalid_blocks"), OK)
        await here.read(stop())
        await here.send()
        first, second = here.receivers.to("slack")
        assert b'"blocks"' in first.body
        assert b'"blocks"' not in second.body
        assert "さくら".encode() in second.body


@pytest.mark.parametrize(
    "change",
    [
        lambda task, now_us: finish(task, "csm-1", "reached", "", now_us),
        lambda task, now_us: snooze(task, "csm-1", now_us + HOUR, "", now_us),
    ],
)
async def test_the_task_is_looked_at_again_at_the_moment_of_sending(tmp_path: Path, change: Decide) -> None:
    slack_alone = config(playbooks=[{"on": "usage.stopped", "send": ["cs-slack"]}])
    async with world(tmp_path, slack_alone) as here:
        here.receivers.will_answer("slack", FAILED)
        await here.read(stop())
        await here.send()
        await here.notifier.desk.change(stop().id, change)
        await here.after(minutes=1)
        assert len(here.receivers.requests) == 1


async def test_a_message_that_missed_its_window_waits_for_the_next(tmp_path: Path) -> None:
    windowed = phone_alone(
        playbooks=[{"on": "usage.stopped", "send": ["phone"], "task": {"contact_window": "14:00-17:00"}}]
    )
    async with world(tmp_path, windowed) as here:
        here.receivers.will_answer("phone", *[FAILED] * 9)
        await here.read(stop())
        await here.send()
        await here.after(hours=3)  # 17:15: nobody calls now
        assert len(here.receivers.requests) == 1
        waiting = await phone_delivery(here)
        assert (waiting.attempt_count, waiting.next_attempt_us) == (1, NOON - 15 * 60_000_000 + 24 * HOUR)


async def test_a_crash_between_the_answer_and_the_record_sends_again_with_the_same_id(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        await here.read(stop())
        dying = Sender(here.parts, here.notifier.channels)
        (parcel,) = await dying.claim()  # sent, answered, and dead before anything was recorded
        await here.notifier.channels["phone"].send(parcel, NOON)
        await here.send()
        assert len(here.receivers.requests) == 1
        here.clock.advance(_us(LEASE_US))
        await here.send()
        assert [r.headers["webhook-id"] for r in here.receivers.requests] == [stop().id] * 2
        again = await phone_delivery(here)
        assert (again.state, again.attempt_count) == ("delivered", 2)


async def test_a_sender_that_lost_its_lease_records_nothing_over_the_new_holder(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        await here.read(stop())
        slow = Sender(here.parts, here.notifier.channels)
        (parcel,) = await slow.claim()
        here.clock.advance(_us(LEASE_US))
        await here.send()
        here.receivers.will_answer("phone", Answer(status=500))
        await slow.deliver(parcel)
        await slow.record()
        assert (await phone_delivery(here)).state == "delivered"


async def test_use_while_the_message_is_on_its_way_is_told_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        await here.read(stop())
        sender = Sender(here.parts, here.notifier.channels)
        (parcel,) = await sender.claim()
        await here.read(resumption(stop()))
        await here.send()
        assert here.receivers.requests == []  # the end waits behind the beginning
        await sender.deliver(parcel)
        await sender.record()
        here.clock.advance(_us(LEASE_US))
        await here.send()
        told = [r.headers["webhook-id"] for r in here.receivers.requests]
        assert told == [stop().id, resumption(stop()).id]
        assert {d.state for d in await here.deliveries()} == {"delivered"}


async def test_two_senders_share_what_is_due(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        await here.publish(*(stop(f"c-{n}") for n in range(30)))
        await here.notifier.intake.step()
        one, other = (Sender(here.parts, here.notifier.channels) for _ in range(2))
        while await one.step() or await other.step():
            pass
        ids = [r.headers["webhook-id"] for r in here.receivers.requests]
        assert len(ids) == len(set(ids)) == 30


async def test_a_channel_that_the_configuration_lost_buries_its_deliveries_by_name(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop())
        without = Sender(here.parts, {"phone": here.notifier.channels["phone"]})
        await without.step()
        errors = {d.channel: d.last_error for d in await here.deliveries()}
        assert errors == {"cs-slack": "the configuration has no channel 'cs-slack'", "phone": ""}


async def test_a_fault_in_writing_one_letter_stops_no_other(tmp_path: Path) -> None:
    class Broken(Receivers):
        async def send(self, request: Request) -> Answer:
            if "slack" in request.url:
                raise RuntimeError("no template for this customer")
            return await super().send(request)

    async with world(tmp_path, make_receivers=lambda _clock: Broken()) as here:
        await here.read(stop())
        await here.send()
        by_channel = {d.channel: d for d in await here.deliveries()}
        assert by_channel["phone"].state == "delivered"
        assert by_channel["cs-slack"].state == "pending"
        assert by_channel["cs-slack"].last_error == "RuntimeError: no template for this customer"


async def test_escalation_reaches_people_in_their_language_and_machines_not_at_all(tmp_path: Path) -> None:
    escalating = config(
        playbooks=[
            {"on": "usage.stopped", "send": ["cs-slack", "phone"], "escalate": {"after": "2h", "to": "lead"}}
        ]
    )
    async with world(tmp_path, escalating) as here:
        await here.read(stop(csm="csm-1"))
        await here.send()
        await here.after(hours=2)
        assert len(here.receivers.to("phone")) == 1
        assert b"Nobody has taken it: Usage stopped" in here.receivers.to("slack")[1].body
        await here.after(hours=2)
        assert len(here.receivers.to("slack")) == 2


async def test_an_acknowledged_call_does_not_escalate(tmp_path: Path) -> None:
    escalating = config(
        playbooks=[{"on": "usage.stopped", "send": ["cs-slack"], "escalate": {"after": "2h", "to": "lead"}}]
    )
    async with world(tmp_path, escalating) as here:
        await here.read(stop(csm="csm-1"))
        await here.send()
        await here.notifier.desk.change(stop().id, lambda t, now_us: acknowledge(t, "csm-1", now_us))
        await here.after(hours=2)
        assert len(here.receivers.to("slack")) == 1


async def test_a_snoozed_task_comes_back_to_people(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.read(stop(csm="csm-1"))
        await here.send()
        until_us = NOON + HOUR
        await here.notifier.desk.change(stop().id, lambda t, now_us: snooze(t, "csm-1", until_us, "", now_us))
        await here.after(minutes=59)
        assert (await here.task()).state == "snoozed"
        await here.after(minutes=1)
        assert (await here.task()).state == "notified"
        assert "【再通知】" in here.receivers.to("slack")[1].body.decode()


async def test_an_expired_task_is_not_announced_any_more(tmp_path: Path) -> None:
    expiring = phone_alone(
        playbooks=[{"on": "usage.stopped", "send": ["phone"], "task": {"expires": "end_of_day"}}]
    )
    async with world(tmp_path, expiring) as here:
        here.receivers.will_answer("phone", *[FAILED] * 99)
        await here.read(stop())
        await here.send()
        await here.after(hours=15)  # 05:15 on the next day
        assert (await here.task()).state == "expired"
        assert (await phone_delivery(here)).state == "cancelled"
        assert len(here.receivers.requests) == 1


def _us(us: int) -> timedelta:
    return timedelta(microseconds=us)
