"""How a customer is forgotten, and what is left of it: a receipt that counts what went and names nobody.

The evaluator erases, in the transaction that folds the record of the erasure, so that a customer is gone
everywhere or nowhere (decision record 0025).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import schema
from shared.database import Database
from shared.events import TOPIC_DEAD_LETTERS, CustomerErased, DeadLetter, encode, record_key

ERASED = "erased"
"""The reason of what stands in the place of a dead letter that had to go and could not be taken out."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure took out of the store; instants in microseconds since the epoch."""

    receipt_id: str
    product: str
    asked_us: int
    asked_by: str
    erased_us: int
    customer_count: int
    trigger_count: int
    task_count: int
    delivery_count: int
    dead_letter_count: int


async def erase_customer(connection: AsyncConnection, asked: CustomerErased, now_us: int) -> None:
    """Deletes all that is kept of a customer, and writes the receipt that was promised for it."""
    owner = (asked.product, asked.customer_id)
    customer_count = await _deleted(connection, schema.customers, *_of(schema.customers, *owner))
    # Off the record first: whoever makes a task of a trigger looks there, and finds it gone.
    told = _of(schema.outbox, *owner)
    is_letter = schema.outbox.c.topic == TOPIC_DEAD_LETTERS
    letter_count = await _deleted(connection, schema.outbox, *told, is_letter)
    trigger_count = await _deleted(connection, schema.outbox, *told)
    letter_count += await _erase_letters(connection, asked)
    task_count, delivery_count = await erase_tasks(connection, *owner)
    receipt = Receipt(
        receipt_id=asked.receipt_id,
        product=asked.product,
        asked_us=asked.received_us,
        asked_by=asked.asked_by,
        erased_us=now_us,
        customer_count=customer_count,
        trigger_count=trigger_count,
        task_count=task_count,
        delivery_count=delivery_count,
        dead_letter_count=letter_count,
    )
    if asked.receipt_id:
        await _keep(connection, receipt)


async def erase_tasks(connection: AsyncConnection, product: str, customer_id: str) -> tuple[int, int]:
    """Deletes a customer's tasks and all that was said of them; how many tasks, and how many deliveries."""
    tasks, deliveries = schema.tasks.c, schema.deliveries.c
    ours = select(tasks.id).where(*_of(schema.tasks, product, customer_id))
    sent = select(deliveries.id).where(*_of(schema.deliveries, product, customer_id))
    await _deleted(connection, schema.attempts, schema.attempts.c.delivery_id.in_(sent))
    delivery_count = await _deleted(
        connection, schema.deliveries, *_of(schema.deliveries, product, customer_id)
    )
    return await _delete_tasks(connection, ours), delivery_count


async def delete_tasks(connection: AsyncConnection, task_ids: Sequence[str]) -> int:
    """Deletes these tasks and all that was said of them; how many there were."""
    sent = select(schema.deliveries.c.id).where(schema.deliveries.c.task_id.in_(task_ids))
    await _deleted(connection, schema.attempts, schema.attempts.c.delivery_id.in_(sent))
    await _deleted(connection, schema.deliveries, schema.deliveries.c.task_id.in_(task_ids))
    return await _delete_tasks(connection, select(schema.tasks.c.id).where(schema.tasks.c.id.in_(task_ids)))


async def receipt_of(database: Database, product: str, receipt_id: str) -> Receipt | None:
    """The receipt of an erasure; None where it was not folded yet, or is another product's."""
    e = schema.erasures
    query = select(e).where(e.c.receipt_id == receipt_id, e.c.product == product)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Receipt(**row._mapping)


async def _keep(connection: AsyncConnection, receipt: Receipt) -> None:
    e = schema.erasures
    # The same record may stand in the log twice; then the first one found what there was.
    known = await connection.execute(select(e.c.receipt_id).where(e.c.receipt_id == receipt.receipt_id))
    if known.scalar_one_or_none() is None:
        await connection.execute(insert(e).values(msgspec.structs.asdict(receipt)))


async def _delete_tasks(connection: AsyncConnection, task_ids: Select[Any]) -> int:
    for table in (schema.task_history, schema.task_triggers):
        await _deleted(connection, table, table.c.task_id.in_(task_ids))
    return await _deleted(connection, schema.tasks, schema.tasks.c.id.in_(task_ids))


async def _erase_letters(connection: AsyncConnection, asked: CustomerErased) -> int:
    """Those in the embedded log; Kafka lets nobody take a record out, and forgets by its retention."""
    log = schema.log_records
    theirs = and_(
        log.c.topic == TOPIC_DEAD_LETTERS, log.c.key == record_key(asked.product, asked.customer_id)
    )
    newest_of = log.alias()
    newest = select(func.max(newest_of.c.offset)).where(
        newest_of.c.topic == TOPIC_DEAD_LETTERS, newest_of.c.partition == log.c.partition
    )
    erased_count = await _deleted(connection, log, theirs, log.c.offset < newest.scalar_subquery())
    # The newest record of a partition says where the next one goes on, so it stays, with nothing in it.
    left = DeadLetter(
        id=ERASED, product=asked.product, reason=ERASED, message="", origin=ERASED, rejected_us=0
    )
    emptied = await connection.execute(
        update(log).where(theirs).values(key=record_key(asked.product, ""), value=encode(left))
    )
    return erased_count + emptied.rowcount


async def _deleted(connection: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> int:
    return (await connection.execute(delete(table).where(*where))).rowcount


def _of(table: Table, product: str, customer_id: str) -> tuple[ColumnElement[bool], ...]:
    return table.c.product == product, table.c.customer_id == customer_id
