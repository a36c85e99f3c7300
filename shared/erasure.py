"""What is kept of a customer beyond its days, and how it is forgotten: tasks and all that was said of them.

The evaluator erases, in the transaction that folds the record of the erasure, so that a customer is gone
everywhere or nowhere.
"""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import schema


async def erase_tasks(connection: AsyncConnection, product: str, customer_id: str) -> None:
    """Deletes a customer's tasks with their history, deliveries and attempts."""
    tasks, deliveries = schema.tasks.c, schema.deliveries.c
    ours = select(tasks.id).where(tasks.product == product, tasks.customer_id == customer_id)
    sent = select(deliveries.id).where(deliveries.product == product, deliveries.customer_id == customer_id)
    await connection.execute(delete(schema.attempts).where(schema.attempts.c.delivery_id.in_(sent)))
    await connection.execute(
        delete(schema.deliveries).where(deliveries.product == product, deliveries.customer_id == customer_id)
    )
    for table in (schema.task_history, schema.task_triggers):
        await connection.execute(delete(table).where(table.c.task_id.in_(ours)))
    await connection.execute(
        delete(schema.tasks).where(tasks.product == product, tasks.customer_id == customer_id)
    )
