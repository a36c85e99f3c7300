"""Deliveries claimed with a lease, recorded, listed and sent again."""

from sqlalchemy import select

from services.notifier.delivery import outgoing, sent
from services.notifier.delivery.outgoing import Mark
from services.notifier.delivery.sent import DeliveryFilter
from shared import schema
from shared.database import Database
from tests.contract.notifier_rows import claimed, deliveries, mark, record, take
from tests.unit.notifier.cases import DAY, HOUR, MINUTE, NOON, resumption, stop


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
