"""A plain consumer: for every event one transaction with a SELECT and an UPDATE."""

import asyncio
from importlib.metadata import version

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer
from job import EVENT, Asked, Meter, State, asked, day_of, fold, report

SCHEMA = """
    CREATE TABLE days (customer_id text PRIMARY KEY, last int, streak int, active int);
    CREATE TABLE stops (customer_id text, day int);
"""
SELECT = "SELECT last, streak, active FROM days WHERE customer_id = $1 FOR UPDATE"
INSERT = "INSERT INTO days (last, streak, active, customer_id) VALUES ($1, $2, $3, $4)"
UPDATE = "UPDATE days SET last = $1, streak = $2, active = $3 WHERE customer_id = $4"


async def main(wanted: Asked) -> None:
    connection = await asyncpg.connect(wanted.postgres)
    await connection.execute(SCHEMA)
    consumer = AIOKafkaConsumer(
        wanted.topic,
        bootstrap_servers=wanted.kafka,
        group_id=wanted.stops_topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    meter, is_last = Meter(wanted.event_count), False
    while not is_last:
        for records in (await consumer.getmany(timeout_ms=500, max_records=500)).values():
            for record in records:
                event = msgspec.json.decode(record.value)
                if event["kind"] == EVENT:
                    async with connection.transaction():
                        await take(connection, event["customer_id"], day_of(event["occurred_us"]))
                    is_last = meter.count()
        await consumer.commit()
    states = {row[0]: State(*row[1:]) for row in await connection.fetch("TABLE days")}
    stops = [tuple(row) for row in await connection.fetch("TABLE stops")]
    report(wanted, meter.seconds, states, stops, asyncpg=version("asyncpg"))
    await consumer.stop()
    await connection.close()


async def take(connection: asyncpg.Connection, customer_id: str, day: int) -> None:
    row = await connection.fetchrow(SELECT, customer_id)
    before = State(*row) if row else None
    after, stopped_on = fold(before, day)
    await connection.execute(UPDATE if before else INSERT, *after, customer_id)
    if stopped_on is not None:
        await connection.execute("INSERT INTO stops VALUES ($1, $2)", customer_id, stopped_on)


if __name__ == "__main__":
    asyncio.run(main(asked()))
