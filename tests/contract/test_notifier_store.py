"""The notifier's store keeps the same promises on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Select, insert, select, text, update

from services.notifier import allotting, board, channel_rows, cohorts, guarding, outgoing, places, sent, store
from services.notifier.announce import Delivery
from services.notifier.board import TaskFilter
from services.notifier.capacity import SETTLE_US
from services.notifier.folding import take_trigger, warm
from services.notifier.ledger import Ledger
from services.notifier.outgoing import Attempt, Mark
from services.notifier.resting import ChannelState
from services.notifier.sent import DeliveryFilter
from services.notifier.tasks import acknowledge, finish, snooze
from shared import schema
from shared.config import Config
from shared.database import Database, open_postgres, open_sqlite
from shared.erasure import erase_tasks
from shared.errors import Fenced
from shared.events import DeadLetter
from shared.triggers import Trigger, encode_trigger
from tests.servers import PostgresServer
from tests.unit.notifier.cases import DAY, HOUR, MINUTE, NOON, config, resumption, stop

CONFIG = config()
ROOM = {"cs-slack": 10, "phone": 10}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with _with_tables(open_sqlite(tmp_path / "store.db")) as opened:
            yield opened
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = await server.create_database()
    try:
        async with _with_tables(open_postgres(url)) as opened:
            yield opened
    finally:
        await server.drop_database(url)


@asynccontextmanager
async def _with_tables(opened: Database) -> AsyncIterator[Database]:
    try:
        async with opened.begin() as connection:
            await connection.run_sync(schema.metadata.create_all)
        yield opened
    finally:
        await opened.close()


async def take(database: Database, *triggers: Trigger, now_us: int = NOON) -> Ledger:
    async with database.begin() as connection:
        ledger = await store.open_ledger(connection, triggers, CONFIG.channels)
        for trigger in triggers:
            take_trigger(ledger, trigger, encode_trigger(trigger), CONFIG, now_us)
        await store.write(connection, ledger)
    return ledger


async def deliveries(database: Database, trigger: Trigger) -> dict[str, Delivery]:
    async with database.read() as connection:
        return {d.channel: d for d in await store.deliveries_of(connection, trigger.id)}


async def claimed(
    database: Database, now_us: int = NOON, room: dict[str, int] | None = None
) -> list[Delivery]:
    async with database.begin() as connection:
        claims = await outgoing.claim(connection, room or ROOM, now_us=now_us, lease_us=MINUTE)
    return [claim.delivery for claim in claims]


async def record(database: Database, *marks: Mark) -> None:
    async with database.begin() as connection:
        await outgoing.record(connection, marks, ())


def mark(delivery: Delivery, state: str, **values: object) -> Mark:
    lease = delivery.lease_until_us
    return msgspec.convert(
        {"delivery_id": delivery.id, "lease_until_us": lease, "state": state, **values}, Mark
    )


# Positions


async def test_a_position_moves_only_from_exactly_where_it_is(database: Database) -> None:
    async with database.begin() as connection:
        assert await places.position(connection, 3) is None
        assert await places.create_position(connection, 3, 40, NOON) == 40
        assert await places.create_position(connection, 3, 7, NOON) == 40
        await places.move_position(connection, 3, first=40, next_offset=45, now_us=NOON)
    for wrong in (40, 44, 46):
        with pytest.raises(Fenced):
            async with database.begin() as connection:
                await places.move_position(connection, 3, first=wrong, next_offset=50, now_us=NOON)
    async with database.read() as connection:
        assert await places.position(connection, 3) == 45


async def test_of_two_batches_at_once_one_is_fenced(database: Database) -> None:
    async with database.begin() as connection:
        await places.create_position(connection, 0, 0, NOON)

    async def batch(trigger: Trigger) -> None:
        async with database.begin() as connection:
            await places.move_position(connection, 0, first=0, next_offset=1, now_us=NOON)
            ledger = await store.open_ledger(connection, [trigger], CONFIG.channels)
            take_trigger(ledger, trigger, encode_trigger(trigger), CONFIG, NOON)
            await store.write(connection, ledger)

    ended = await asyncio.gather(batch(stop("c-1")), batch(stop("c-2")), return_exceptions=True)
    assert sorted(type(e).__name__ for e in ended if e is not None) == ["Fenced"]
    async with database.read() as connection:
        assert len(await board.page(connection, TaskFilter(), count_max=9)) == 1


# Ledgers


async def test_what_a_ledger_writes_the_next_one_reads(database: Database) -> None:
    await take(database, stop())
    ledger = await take(database, stop(), resumption(stop()))
    assert [task.cancelled for task in ledger.changed.values()] == ["resumed"]
    async with database.read() as connection:
        task = await store.task(connection, stop().id)
        assert task is not None
        assert task.cancelled == "resumed"
        assert [line.note.change for line in await store.history(connection, task.id)] == [
            "opened",
            "resumed",
        ]
        assert [t.id for t in await store.triggers_of(connection, task.id)] == [
            stop().id,
            resumption(stop()).id,
        ]
    assert {d.state for d in (await deliveries(database, stop())).values()} == {"cancelled"}


async def test_a_thousand_customers_fit_into_one_ledger(database: Database) -> None:
    many = [stop(f"c-{n}") for n in range(1200)]
    await take(database, *many)
    ledger = await take(database, *(resumption(trigger) for trigger in many))
    assert len(ledger.changed) == 1200
    async with database.read() as connection:
        assert await board.page(connection, TaskFilter(is_live=True), count_max=9) == []


async def test_an_open_task_of_the_same_customer_and_rule_cannot_be_doubled(database: Database) -> None:
    await take(database, stop())
    second = stop(day="2026-03-09")
    blind = Ledger(channels=CONFIG.channels)  # as if it had not seen the first
    take_trigger(blind, second, encode_trigger(second), CONFIG, NOON)
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with database.begin() as connection:
            await store.write(connection, blind)


async def test_a_customer_is_forgotten_with_everything_said_about_it(database: Database) -> None:
    await take(database, stop("c-1"), stop("c-2"))
    for delivery in await claimed(database):
        attempt = Attempt(delivery_id=delivery.id, at_us=NOON, result="retry", detail="", took_us=1)
        async with database.begin() as connection:
            await outgoing.record(connection, [], [attempt])
    async with database.begin() as connection:
        await erase_tasks(connection, "reserve", "c-1")
    for table in ("tasks", "task_history", "task_triggers", "deliveries", "attempts"):
        async with database.read() as connection:
            rows = (await connection.execute(select(schema.metadata.tables[table]))).all()
        assert rows
        assert not [row for row in rows if stop("c-1").id in str(row)]


async def test_dead_letters_wait_in_the_outbox_once(database: Database) -> None:
    letter = DeadLetter(
        id="usage.triggers/0/9", product="reserve", reason="poison", message="", origin="x", rejected_us=NOON
    )
    for _ in range(2):
        async with database.begin() as connection:
            await places.write_dead_letters(connection, [letter])
    async with database.read() as connection:
        rows = (await connection.execute(select(schema.outbox))).all()
    assert [(row.id, row.topic, row.sent_us) for row in rows] == [(letter.id, "usage.dead_letters", None)]


async def test_tasks_wake_in_the_order_of_their_time(database: Database) -> None:
    await take(database, stop("c-1"), stop("c-2"), stop("c-3"))
    async with database.begin() as connection:
        ledger = await store.ledger_of(connection, [stop("c-1").id, stop("c-2").id], CONFIG.channels)
        for n, customer in ((2, "c-1"), (1, "c-2")):
            task = ledger.task(stop(customer).id)
            assert task is not None
            ledger.take(snooze(task, "x", NOON + n * HOUR, "", NOON), NOON)
        await store.write(connection, ledger)
        assert await store.due_tasks(connection, NOON, 9) == []
        assert await store.due_tasks(connection, NOON + 2 * HOUR, 9) == [stop("c-2").id, stop("c-1").id]
        assert await store.next_wake_us(connection) == NOON + HOUR


async def test_a_stop_noted_under_a_closed_task_becomes_one_of_its_own(database: Database) -> None:
    cool = config(playbooks=[{"on": "usage.stopped", "send": ["phone"], "cooldown": "7d"}])
    first, second = stop(), stop(day="2026-03-05")
    await take(database, first)
    async with database.begin() as connection:
        ledger = await store.ledger_of(connection, [first.id], cool.channels)
        task = ledger.task(first.id)
        assert task is not None
        ledger.take(finish(task, "csm-1", "reached", "", NOON), NOON)
        await store.write(connection, ledger)
    async with database.begin() as connection:
        ledger = await store.open_ledger(connection, [second], cool.channels, closed_from_us=NOON - DAY)
        take_trigger(ledger, second, encode_trigger(second), cool, NOON + 3 * DAY)
        await store.write(connection, ledger)
        assert await store.due_tasks(connection, NOON + 7 * DAY, 9) == [first.id]
        assert [t.id for t in await store.triggers_of(connection, first.id)] == [first.id, second.id]
    async with database.begin() as connection:
        ledger = await store.ledger_of(connection, [first.id], cool.channels)
        task = ledger.task(first.id)
        assert task is not None
        warm(ledger, task, cool, NOON + 7 * DAY)
        await store.write(connection, ledger)
        assert await store.due_tasks(connection, NOON + 7 * DAY, 9) == []
        assert [t.id for t in await store.triggers_of(connection, second.id)] == [second.id]


# Deliveries


async def test_a_claim_takes_what_is_due_once_and_within_each_channels_room(database: Database) -> None:
    await take(database, *(stop(f"c-{n}") for n in range(5)))
    first = await claimed(database, room={"phone": 2, "cs-slack": 4})
    second = await claimed(database, room={"phone": 9, "cs-slack": 9})
    assert len(first) == 6
    assert len({d.id for d in first + second}) == len(first) + len(second) == 10
    assert await claimed(database) == []


async def test_what_is_not_due_yet_is_not_claimed(database: Database) -> None:
    await take(database, stop(), now_us=NOON + HOUR)
    assert await claimed(database, NOON) == []
    assert len(await claimed(database, NOON + HOUR)) == 2


async def test_an_expired_lease_is_claimed_again_and_counts_as_uncertain(database: Database) -> None:
    await take(database, stop())
    (first,) = await claimed(database, room={"phone": 1})
    (again,) = await claimed(database, NOON + MINUTE, room={"phone": 1})
    assert (first.uncertain, first.attempt_count) == (False, 1)
    assert (again.uncertain, again.attempt_count) == (True, 2)


async def test_a_record_without_the_lease_changes_nothing(database: Database) -> None:
    await take(database, stop())
    (first,) = await claimed(database, room={"phone": 1})
    (again,) = await claimed(database, NOON + MINUTE, room={"phone": 1})
    await record(database, mark(first, "dead", last_error="late"))
    assert (await deliveries(database, stop()))["phone"].state == "pending"
    await record(database, mark(again, "delivered", delivered_us=NOON))
    found = (await deliveries(database, stop()))["phone"]
    assert (found.state, found.delivered_us, found.lease_until_us) == ("delivered", NOON, None)


async def test_a_withdrawn_delivery_that_arrived_is_delivered_and_that_failed_stays_withdrawn(
    database: Database,
) -> None:
    await take(database, stop())
    sending = {d.channel: d for d in await claimed(database)}
    await take(database, resumption(stop()))
    await record(
        database,
        mark(sending["phone"], "delivered", delivered_us=NOON),
        mark(sending["cs-slack"], "pending", next_attempt_us=NOON),
    )
    found = await deliveries(database, stop())
    # The end is told to both, for both were on their way when it came.
    async with database.read() as connection:
        every = (await connection.execute(select(schema.deliveries))).all()
    assert {(d.channel, d.kind, d.state) for d in every} == {
        ("phone", "opened", "delivered"),
        ("cs-slack", "opened", "cancelled"),
        ("phone", "closed", "pending"),
        ("cs-slack", "closed", "pending"),
    }
    assert found


async def test_a_postponement_is_no_attempt(database: Database) -> None:
    await take(database, stop())
    (first,) = await claimed(database, room={"phone": 1})
    await record(database, mark(first, "pending", next_attempt_us=NOON + HOUR, counts=False))
    assert (await deliveries(database, stop()))["phone"].attempt_count == 0


async def test_a_closed_channel_buries_what_is_due_and_replay_digs_it_up(database: Database) -> None:
    await take(database, stop())
    async with database.begin() as connection:
        assert await outgoing.due_channels(connection, NOON) == ["cs-slack", "phone"]
        assert await outgoing.bury(connection, "phone", "410", now_us=NOON) == 1
        assert await outgoing.bury(connection, "phone", "410", now_us=NOON) == 0
    assert (await deliveries(database, stop()))["phone"].last_error == "410"
    async with database.begin() as connection:
        assert await sent.replay(connection, DeliveryFilter(channel="phone"), now_us=NOON + 5) == 1
        assert await sent.replay(connection, DeliveryFilter(product="other"), now_us=NOON + 5) == 0
    found = (await deliveries(database, stop()))["phone"]
    assert (found.state, found.next_attempt_us, found.attempt_count, found.replayed) == (
        "pending",
        NOON + 5,
        0,
        True,
    )


async def test_deliveries_are_listed_newest_first_page_by_page(database: Database) -> None:
    for n in range(3):
        await take(database, stop(f"c-{n}"), now_us=NOON + n)
    seen: list[str] = []
    after: tuple[int, str] | None = None
    while True:
        async with database.read() as connection:
            wanted = DeliveryFilter(product="reserve", state="pending", from_us=NOON, to_us=NOON + DAY)
            page = await sent.deliveries(connection, wanted, count_max=2, after=after)
        if not page:
            break
        seen += [d.customer_id for d in page]
        after = (page[-1].created_us, page[-1].id)
    assert seen == ["c-2", "c-2", "c-1", "c-1", "c-0", "c-0"]


async def test_what_a_channel_told_of_itself_is_kept_until_it_is_enabled(database: Database) -> None:
    state = ChannelState(channel="phone", disabled_us=NOON, reason="410")
    async with database.begin() as connection:
        await channel_rows.put(connection, ChannelState(channel="phone", failure_count=3))
        await channel_rows.put(connection, state)
        assert await channel_rows.states(connection) == {"phone": state}
        await channel_rows.enable(connection, "phone")
        assert (await channel_rows.states(connection))["phone"].disabled_us is None


# Lists


async def test_tasks_are_filtered_and_paged(database: Database) -> None:
    for n, csm in enumerate(("csm-1", "csm-2", None, "csm-1")):
        await take(database, stop(f"c-{n}", csm=csm), now_us=NOON + n)
    async with database.begin() as connection:
        ledger = await store.ledger_of(connection, [stop("c-0").id, stop("c-1").id], CONFIG.channels)
        first, second = ledger.task(stop("c-0").id), ledger.task(stop("c-1").id)
        assert first is not None
        assert second is not None
        ledger.take(finish(first, "csm-1", "reached", "", NOON + HOUR), NOON + HOUR)
        ledger.take(acknowledge(second, "csm-2", NOON), NOON)
        await store.write(connection, ledger)
        await connection.execute(
            update(schema.tasks)
            .where(schema.tasks.c.id == stop("c-2").id)
            .values(heard_by=store.heard_by(["csm-3", "csm-2"]))
        )

    async def found(**wanted: object) -> list[str]:
        async with database.read() as connection:
            tasks = await board.page(connection, msgspec.convert(wanted, TaskFilter), count_max=9)
        return [task.customer_id for task in tasks]

    assert await found() == ["c-0", "c-1", "c-2", "c-3"]
    assert await found(product="other") == []
    assert await found(owner="csm-1") == ["c-0", "c-3"]
    assert await found(owner="") == ["c-2"]
    assert await found(whose="csm-2") == ["c-1", "c-2"]
    assert await found(states=["acknowledged", "done"]) == ["c-0", "c-1"]
    assert await found(is_live=False) == ["c-0"]
    assert await found(live_or_closed_from_us=NOON + 2 * HOUR) == ["c-1", "c-2", "c-3"]
    assert await found(live_or_closed_from_us=NOON + HOUR) == ["c-0", "c-1", "c-2", "c-3"]
    assert await found(opened_from_us=NOON + 2) == ["c-2", "c-3"]
    assert await found(customer_id="c-3") == ["c-3"]
    async with database.read() as connection:
        page = await board.page(connection, TaskFilter(), count_max=2, after=(NOON + 1, stop("c-1").id))
        assert [task.customer_id for task in page] == ["c-2", "c-3"]
        closed = await board.last_closed(connection, TaskFilter(is_live=False), count_max=2)
        assert [task.customer_id for task in closed] == ["c-0"]
        assert await board.count(connection, TaskFilter(is_live=True)) == 3
        assert await board.owners(connection, TaskFilter(is_live=True)) == {"csm-2": 1, None: 1, "csm-1": 1}


async def test_the_boards_version_grows_with_every_change(database: Database) -> None:
    async with database.read() as connection:
        before = await board.version(connection)
    await take(database, stop())
    async with database.read() as connection:
        assert await board.version(connection) != before


# Outages


async def test_two_partitions_of_one_sweep_count_in_the_same_outage(database: Database) -> None:
    guarded = config(guard={"min_customers": 1})
    async with database.begin() as connection:
        await connection.execute(
            schema.customers.insert().values(product="reserve", customer_id="u", partition=0, state=b"")
        )

    async def batch(*triggers: Trigger) -> None:
        async with database.begin() as connection:
            outages = await guarding.watch(connection, triggers, guarded, NOON)
            ledger = await store.open_ledger(connection, triggers, guarded.channels, outages)
            for trigger in triggers:
                take_trigger(ledger, trigger, encode_trigger(trigger), guarded, NOON)
            await store.write(connection, ledger)

    await asyncio.gather(*(batch(stop(f"c-{n}-a"), stop(f"c-{n}-b")) for n in range(5)))
    async with database.read() as connection:
        outage = await guarding.find(connection, "reserve/usage-stopped/2026-03-02T05:00:00Z")
        held = await guarding.held(connection)
    assert outage is not None
    assert (outage.stopped_count, outage.state) == (10, "watching")
    assert held == []
    async with database.begin() as connection:
        assert await guarding.due(connection, NOON + 3_000_000) == [outage.id]
        ledger = await guarding.advance(connection, outage.id, guarded, NOON + 3_000_000)
        await store.write(connection, ledger)
        assert await guarding.due(connection, NOON + 9_000_000) == []
    assert len(await claimed(database, NOON + 3_000_000, {"cs-slack": 50, "phone": 50})) == 20


@pytest.mark.parametrize(
    "query",
    [
        cohorts.judged_at("reserve", [NOON + n * DAY for n in range(9)]),
        cohorts.judged_by("reserve", NOON),
    ],
    ids=["at", "by"],
)
async def test_a_cohort_is_counted_in_its_index(database: Database, query: Select[Any]) -> None:
    rows = [
        {
            "product": f"p-{n % 50}" if n % 10 else "reserve",
            "customer_id": f"c-{n}",
            "partition": n % 24,
            "due_us": NOON + (n % 20) * DAY // 2,
            "state": b"s" * 400,
        }
        for n in range(4000)
    ]
    async with database.begin() as connection:
        await connection.execute(insert(schema.customers), rows)
        await connection.execute(text("ANALYZE"))
        said = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(row) for row in await connection.execute(text(f"{explain} {said}")))
    assert "customers_judged" in plan


# Channels that keep an interval, and messages that can be changed


async def book(database: Database, now_us: int) -> bool:
    async with database.begin() as connection:
        return await channel_rows.book(connection, "phone", now_us=now_us, until_us=now_us + 10)


async def test_a_place_is_booked_once_until_it_is_over(database: Database) -> None:
    assert [await book(database, NOON + n) for n in (0, 0, 9, 10, 19, 20)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


async def test_of_two_who_book_at_once_one_gets_it(database: Database) -> None:
    booked = await asyncio.gather(*(book(database, NOON) for _ in range(5)))
    assert sorted(booked) == [False] * 4 + [True]


async def test_a_disabled_channel_cannot_be_booked_and_a_failing_one_is_woken(database: Database) -> None:
    failing = ChannelState(channel="phone", failure_count=7, rests_until_us=NOON + HOUR)
    async with database.begin() as connection:
        await channel_rows.put(connection, ChannelState(channel="cs-slack", disabled_us=NOON, reason="410"))
        await channel_rows.put(connection, failing)
        await channel_rows.wake(connection, ["cs-slack", "phone", "never-seen"])
        assert not await channel_rows.book(connection, "cs-slack", now_us=NOON, until_us=NOON + 10)
        found = await channel_rows.locked(connection, ["phone", "new"])
    assert found == {"phone": ChannelState(channel="phone"), "new": ChannelState(channel="new")}


async def test_what_waits_is_claimed_by_name_and_by_nobody_else(database: Database) -> None:
    await take(database, *(stop(f"c-{n}") for n in range(5)))
    async with database.begin() as connection:
        waiting = await outgoing.waiting(connection, "phone", now_us=NOON, count_max=4)
        assert [(one.kind, one.reference) for one in waiting] == [("opened", "")] * 4
        ids = [one.id for one in waiting[1:3]]
        claims = await outgoing.claim_these(connection, "phone", ids, now_us=NOON, lease_us=MINUTE)
        again = await outgoing.claim_these(connection, "phone", ids, now_us=NOON, lease_us=MINUTE)
    assert ({claim.delivery.id for claim in claims}, again) == (set(ids), [])


async def test_an_end_finds_the_message_whose_name_became_known_after_it(database: Database) -> None:
    first = stop("c-1")
    await take(database, first, stop("c-2"))
    sending = {d.id: d for d in await claimed(database, room={"phone": 2})}
    await take(database, resumption(first), now_us=NOON + 1)
    for delivery in sending.values():
        lease_us = delivery.lease_until_us or 0
        await record(
            database,
            Mark(
                delivery_id=delivery.id,
                lease_until_us=lease_us,
                state="delivered",
                delivered_us=NOON + 2,
                reference="C1/1",
            ),
        )
    (end,) = await claimed(database, now_us=NOON + HOUR, room={"phone": 9})
    assert (end.kind, end.reference) == ("closed", "C1/1")
    async with database.read() as connection:
        shown = await outgoing.shown(connection, "phone", "C1/1")
        assert await outgoing.shown(connection, "phone", "") == []
    assert {claim.delivery.customer_id for claim in shown} == {"c-1", "c-2"}
    assert {claim.delivery.kind for claim in shown} == {"opened"}


async def test_a_csms_day_is_looked_at_at_the_earliest_of_its_calls(database: Database) -> None:
    base = config().model_dump(by_alias=True)
    base["csms"]["csm-1"]["calls_per_day_max"] = 1
    limited = Config.model_validate(base)
    for customer, at_us in (("c-1", NOON + MINUTE), ("c-2", NOON), ("c-3", NOON + 2 * MINUTE)):
        trigger = stop(customer, csm="csm-1", surprise=0.9 if customer == "c-3" else 0.8)
        async with database.begin() as connection:
            ledger = await store.open_ledger(connection, [trigger], limited.channels)
            take_trigger(ledger, trigger, encode_trigger(trigger), limited, at_us)
            await store.write(connection, ledger)
    key = "day:csm-1/2026-03-02"
    async with database.read() as connection:
        assert await allotting.due(connection, NOON + SETTLE_US - 1) == []
        assert await allotting.due(connection, NOON + SETTLE_US) == [key]
    for now_us, handed in ((NOON + 2 * MINUTE, 0), (NOON + 3 * MINUTE, 1)):
        async with database.begin() as connection:
            await store.write(connection, await allotting.advance(connection, key, limited, now_us))
            rows = (await connection.execute(select(schema.call_days))).mappings().all()
        assert [row["handed_count"] for row in rows] == [handed]
    async with database.read() as connection:
        tasks = {task.customer_id: task for task in await board.page(connection, TaskFilter(), count_max=9)}
        assert await allotting.next_wake_us(connection) is None
    assert {name: task.overflow for name, task in tasks.items()} == {"c-1": True, "c-2": True, "c-3": False}
