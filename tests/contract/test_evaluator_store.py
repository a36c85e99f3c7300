"""What the evaluator's store promises, on SQLite and on PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from deploy.migrations.upgrade import bring_up
from services.evaluator.changes import Batch, CustomerRow, OutboxRow, Position
from services.evaluator.store import EvaluatorStore
from shared.database import Database, open_postgres, open_sqlite
from shared.erasure import Receipt
from shared.errors import Fenced
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS, CustomerErased
from shared.schema import positions
from tests.servers import PostgresServer

NOW_US = 1_700_000_000_000_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    server: PostgresServer | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
    url = await server.create_database() if server else ""
    database = open_postgres(url) if server else open_sqlite(tmp_path / "store.db")
    await bring_up(database)
    yield database
    await database.close()
    if server:
        await server.drop_database(url)


@pytest.fixture
def store(database: Database) -> EvaluatorStore:
    return EvaluatorStore(database)


def customer(name: str, *, due_us: int | None = None, state: bytes = b"s", partition: int = 0) -> CustomerRow:
    return CustomerRow(product="p", customer_id=name, partition=partition, due_us=due_us, state=state)


def message(name: str, *, customer_id: str = "c-1", topic: str = TOPIC_TRIGGERS) -> OutboxRow:
    return OutboxRow(id=name, topic=topic, product="p", customer_id=customer_id, value=name.encode())


def erasure(name: str, *, receipt_id: str = "r-1") -> CustomerErased:
    return CustomerErased(
        product="p", customer_id=name, received_us=7, receipt_id=receipt_id, asked_by="ut_12345678"
    )


def batch(
    expected: int, following: int, *, watermark_us: int = 0, partition: int = 0, **rows: object
) -> Batch:
    position = Position(partition=partition, next_offset=following, watermark_us=watermark_us)
    return msgspec.structs.replace(Batch(expected_offset=expected, position=position), **rows)


async def claimed(store: EvaluatorStore, *, partition: int = 0, beginning: int = 0) -> Position:
    return await store.claim(partition, beginning=beginning, now_us=NOW_US)


async def written(store: EvaluatorStore, value: Batch) -> None:
    await store.write(value, now_us=NOW_US)


async def unsent(store: EvaluatorStore, topic: str = TOPIC_TRIGGERS, *partitions: int) -> list[bytes]:
    return [row.value for row in await store.unsent(topic, partitions or (0,), rows_max=100)]


async def test_a_partition_never_read_starts_at_the_log_s_beginning(store: EvaluatorStore) -> None:
    assert await claimed(store, partition=3, beginning=17) == Position(
        partition=3, next_offset=17, watermark_us=0
    )


async def test_a_partition_read_before_goes_on_where_its_last_batch_ended(store: EvaluatorStore) -> None:
    await claimed(store)
    await written(store, batch(0, 5, watermark_us=99))
    assert await claimed(store, beginning=3) == Position(partition=0, next_offset=5, watermark_us=99)


async def test_a_batch_is_written_whole(store: EvaluatorStore) -> None:
    await claimed(store)
    rows = (customer("c-1", due_us=7, state=b"\x00\xff"), customer("c-2"))
    outbox_rows = (message("t-1"), message("d-1", topic=TOPIC_DEAD_LETTERS))
    await written(store, batch(0, 2, customers=rows, excused=(("p", "2026-03-02"),), outbox=outbox_rows))
    assert await store.load([("p", "c-1"), ("p", "c-2"), ("p", "c-3")]) == {row.key: row for row in rows}
    assert await store.excused(0) == {"p": frozenset({739677})}
    assert await store.excused(1) == {}
    assert await unsent(store) == [b"t-1"]
    assert await unsent(store, TOPIC_DEAD_LETTERS) == [b"d-1"]


async def test_a_customer_written_again_has_the_newer_state(store: EvaluatorStore) -> None:
    await claimed(store)
    await written(store, batch(0, 1, customers=(customer("c-1", due_us=7, state=b"old"),)))
    newer = customer("c-1", state=b"new")
    await written(store, batch(1, 2, customers=(newer,)))
    assert await store.customer("p", "c-1") == newer


@pytest.mark.parametrize("expected", [0, 2])
async def test_a_batch_from_elsewhere_is_fenced_and_leaves_no_row(
    store: EvaluatorStore, database: Database, expected: int
) -> None:
    await claimed(store)
    await written(store, batch(0, 1))
    with pytest.raises(Fenced):
        await written(
            store,
            batch(
                expected,
                9,
                customers=(customer("c-1"),),
                outbox=(message("t-1"),),
                adopted=(("p", "k", "{}"),),
            ),
        )
    assert (await claimed(store)).next_offset == 1
    assert await store.load([("p", "c-1")]) == {}
    assert await unsent(store) == []
    assert await store.adopted(0) == {}


async def test_a_batch_of_a_partition_never_claimed_is_fenced(store: EvaluatorStore) -> None:
    with pytest.raises(Fenced):
        await written(store, batch(0, 1))


async def test_of_two_batches_from_the_same_place_at_once_exactly_one_is_written(
    store: EvaluatorStore,
) -> None:
    await claimed(store)
    rivals = [batch(0, 10 + n, customers=(customer(f"c-{n}"),)) for n in range(5)]
    results = await asyncio.gather(*(written(store, rival) for rival in rivals), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Fenced] * 4
    winner = results.index(None)
    assert (await claimed(store)).next_offset == 10 + winner
    assert list(await store.load([("p", f"c-{n}") for n in range(5)])) == [("p", f"c-{winner}")]


async def test_partitions_do_not_fence_each_other(store: EvaluatorStore) -> None:
    await asyncio.gather(*(claimed(store, partition=n) for n in range(8)))
    await asyncio.gather(*(written(store, batch(0, n + 1, partition=n)) for n in range(8)))
    assert [(await claimed(store, partition=n)).next_offset for n in range(8)] == list(range(1, 9))


async def test_a_message_decided_again_is_sent_once(store: EvaluatorStore) -> None:
    await claimed(store)
    await written(store, batch(0, 1, outbox=(message("t-1"), message("t-2"))))
    sent = await store.unsent(TOPIC_TRIGGERS, [0], rows_max=100)
    await store.mark_sent([row.seq for row in sent], now_us=NOW_US)
    await written(store, batch(1, 2, outbox=(message("t-2"), message("t-3"))))
    assert await unsent(store) == [b"t-3"]


async def test_the_outbox_is_read_in_order_bounded_and_by_partition(store: EvaluatorStore) -> None:
    for partition in (0, 1):
        await claimed(store, partition=partition)
        names = [f"t-{partition}-{n}" for n in range(4)]
        await written(store, batch(0, 1, partition=partition, outbox=tuple(map(message, names))))
    assert await unsent(store, TOPIC_TRIGGERS, 1) == [b"t-1-0", b"t-1-1", b"t-1-2", b"t-1-3"]
    assert len(await unsent(store, TOPIC_TRIGGERS, 0, 1)) == 8
    first = await store.unsent(TOPIC_TRIGGERS, [0], rows_max=3)
    assert [row.value for row in first] == [b"t-0-0", b"t-0-1", b"t-0-2"]
    assert await store.unsent(TOPIC_TRIGGERS, [], rows_max=3) == []


async def test_the_due_are_those_before_the_watermark_the_longest_due_first(store: EvaluatorStore) -> None:
    await claimed(store)
    await claimed(store, partition=1)
    dues = {"a": 30, "b": 10, "c": 20, "d": None, "e": 40}
    await written(store, batch(0, 1, customers=tuple(customer(n, due_us=d) for n, d in dues.items())))
    await written(store, batch(0, 1, partition=1, customers=(customer("other", due_us=1, partition=1),)))
    due = await store.due(0, ["p"], before_us=40, rows_max=10)
    assert [row.customer_id for row in due] == ["b", "c", "a"]
    assert [row.customer_id for row in await store.due(0, ["p"], before_us=40, rows_max=2)] == ["b", "c"]
    assert await store.next_due_us(0, ["p"]) == 10
    assert await store.next_due_us(2, ["p"]) is None


async def test_customers_of_a_product_that_is_not_configured_are_not_due(store: EvaluatorStore) -> None:
    await claimed(store)
    await written(store, batch(0, 1, customers=(customer("c-1", due_us=1),)))
    assert await store.due(0, ["q"], before_us=9, rows_max=10) == []
    assert await store.next_due_us(0, ["q"]) is None


async def test_a_recall_makes_every_customer_of_the_product_and_partition_due_now(
    store: EvaluatorStore, database: Database
) -> None:
    await claimed(store)
    await claimed(store, partition=1)
    await written(store, batch(0, 1, customers=(customer("a", due_us=500), customer("b"))))
    elsewhere = (customer("c", due_us=500, partition=1),)
    await written(store, batch(0, 1, partition=1, customers=elsewhere))
    newcomer = customer("n", due_us=900)
    await written(
        store,
        batch(1, 2, watermark_us=100, customers=(newcomer,), recalled=("p",), adopted=(("p", "k2", "{}"),)),
    )
    assert {row.customer_id for row in await store.due(0, ["p"], before_us=100, rows_max=9)} == {
        "a",
        "b",
        "n",
    }
    assert await store.due(1, ["p"], before_us=100, rows_max=9) == []
    assert await store.adopted(0) == {"p": "k2"}
    await written(store, batch(2, 2, adopted=(("p", "k3", "{}"), ("q", "k1", "{}"))))
    assert await store.adopted(0) == {"p": "k3", "q": "k1"}


async def test_rules_stay_to_be_read_the_ones_taken_up_last_first(
    store: EvaluatorStore,
) -> None:
    await claimed(store)
    for at, key in ((1, "k1"), (2, "k2"), (3, "k1")):
        rules = json.dumps({"stop": {"kind": "absence", "emit": key}})
        await store.write(batch(at - 1, at, adopted=(("p", key, rules),)), now_us=at * 1_000_000)
    (newest, before) = await store.seen_rules("p")
    assert (newest.key, newest.first_us, newest.last_us) == ("k1", 1_000_000, 3_000_000)
    assert (before.key, json.loads(before.rules)["stop"]["emit"]) == ("k2", "k2")
    assert await store.seen_rules("q") == []


async def test_erasing_removes_the_customer_and_everything_told_of_it_but_what_is_told_after(
    store: EvaluatorStore, database: Database
) -> None:
    await claimed(store)
    kept = customer("kept")
    told = (message("t-1"), message("d-1", topic=TOPIC_DEAD_LETTERS), message("t-2", customer_id="kept"))
    await written(store, batch(0, 1, customers=(customer("c-1"), kept), outbox=told))
    await written(store, batch(1, 2, erased=(erasure("c-1"),), outbox=(message("t-3"),)))
    assert await store.load([("p", "c-1"), ("p", "kept")]) == {kept.key: kept}
    assert await store.triggers("p", "c-1", rows_max=10) == [b"t-3"]
    assert await store.triggers("p", "kept", rows_max=10) == [b"t-2"]


async def test_a_receipt_counts_what_went_and_names_nobody(store: EvaluatorStore, database: Database) -> None:
    await claimed(store)
    told = (message("t-1"), message("t-2"), message("d-1", topic=TOPIC_DEAD_LETTERS))
    await written(store, batch(0, 1, customers=(customer("c-1"),), outbox=told))
    assert await store.receipt("p", "r-1") is None
    again = (erasure("c-1"), erasure("c-1"), erasure("c-1", receipt_id="r-2"))
    await written(store, batch(1, 2, erased=again))
    first, second = await store.receipt("p", "r-1"), await store.receipt("p", "r-2")
    assert first == Receipt(
        receipt_id="r-1",
        product="p",
        asked_us=7,
        asked_by="ut_12345678",
        erased_us=NOW_US,
        customer_count=1,
        trigger_count=2,
        task_count=0,
        delivery_count=0,
        dead_letter_count=1,
    )
    assert second is not None
    assert (second.customer_count, second.trigger_count, second.dead_letter_count) == (0, 0, 0)
    assert await store.receipt("q", "r-1") is None
    assert "c-1" not in str(first)


async def test_of_a_customer_s_triggers_the_newest_are_given_oldest_first(store: EvaluatorStore) -> None:
    await claimed(store)
    names = (message("t-1"), message("d-1", topic=TOPIC_DEAD_LETTERS), message("t-2"), message("t-3"))
    await written(store, batch(0, 1, outbox=names))
    assert await store.triggers("p", "c-1", rows_max=2) == [b"t-2", b"t-3"]
    assert await store.triggers("p", "c-2", rows_max=2) == []


async def test_more_customers_than_one_query_names_are_loaded(store: EvaluatorStore) -> None:
    await claimed(store)
    rows = tuple(customer(f"顧客-{n}", state=b"%d" % n) for n in range(1_201))
    await written(store, batch(0, 1, customers=rows))
    assert await store.load([row.key for row in rows]) == {row.key: row for row in rows}


async def test_a_position_put_back_by_a_restored_backup_fences_whoever_went_on(
    store: EvaluatorStore, database: Database
) -> None:
    await claimed(store)
    await written(store, batch(0, 7))
    async with database.begin() as connection:
        await connection.execute(update(positions).values(next_offset=3))
    with pytest.raises(Fenced):
        await written(store, batch(7, 8))
    assert (await claimed(store)).next_offset == 3
