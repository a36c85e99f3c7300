"""The SQL of the evaluator's store, in two dialects where one of them is much faster its own way.

PostgreSQL takes a column at a time (`unnest`), SQLite a row at a time (`executemany`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """One statement over many rows; `columns` name PostgreSQL's arrays in the order of a row."""

    columns: tuple[str, ...]
    sqlite: str
    postgres: TextClause


async def run_bulk(connection: AsyncConnection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run it over `rows`, in their order; nothing at all for no rows."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(bulk.sqlite, list(rows))
        return
    arrays = (list(column) for column in zip(*rows, strict=True))
    await connection.execute(bulk.postgres, dict(zip(bulk.columns, arrays, strict=True)))


UPSERT_CUSTOMERS = Bulk(
    columns=("products", "customer_ids", "partitions", "dues", "states"),
    sqlite="""
        INSERT INTO customers (product, customer_id, "partition", due_us, state) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (product, customer_id) DO UPDATE
        SET "partition" = excluded."partition", due_us = excluded.due_us, state = excluded.state""",
    postgres=text("""
        INSERT INTO customers (product, customer_id, partition, due_us, state)
        SELECT * FROM unnest(CAST(:products AS text[]), CAST(:customer_ids AS text[]),
            CAST(:partitions AS integer[]), CAST(:dues AS bigint[]), CAST(:states AS bytea[]))
        ON CONFLICT (product, customer_id) DO UPDATE
        SET partition = excluded.partition, due_us = excluded.due_us, state = excluded.state"""),
)

INSERT_EXCUSED = Bulk(
    columns=("partitions", "products", "days"),
    sqlite='INSERT INTO excused_days ("partition", product, day) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    postgres=text("""
        INSERT INTO excused_days (partition, product, day)
        SELECT * FROM unnest(CAST(:partitions AS integer[]), CAST(:products AS text[]), CAST(:days AS text[]))
        ON CONFLICT DO NOTHING"""),
)

ADOPT_PRODUCTS = Bulk(
    columns=("partitions", "products", "keys"),
    sqlite="""
        INSERT INTO adopted_products ("partition", product, key) VALUES (?, ?, ?)
        ON CONFLICT ("partition", product) DO UPDATE SET key = excluded.key""",
    postgres=text("""
        INSERT INTO adopted_products (partition, product, key)
        SELECT * FROM unnest(CAST(:partitions AS integer[]), CAST(:products AS text[]), CAST(:keys AS text[]))
        ON CONFLICT (partition, product) DO UPDATE SET key = excluded.key"""),
)

RECORD_RULES = Bulk(
    columns=("products", "keys", "rules", "firsts", "lasts"),
    sqlite="""
        INSERT INTO seen_rules (product, key, rules, first_us, last_us) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (product, key) DO UPDATE SET last_us = excluded.last_us""",
    postgres=text("""
        INSERT INTO seen_rules (product, key, rules, first_us, last_us)
        SELECT * FROM unnest(CAST(:products AS text[]), CAST(:keys AS text[]), CAST(:rules AS text[]),
            CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[]))
        ON CONFLICT (product, key) DO UPDATE SET last_us = excluded.last_us"""),
)

# A conflict means that the row was decided before, by a replay or by another worker: the same fact.
INSERT_OUTBOX = Bulk(
    columns=("ids", "topics", "products", "customer_ids", "partitions", "contents", "times", "traces"),
    sqlite="""
        INSERT INTO outbox (id, topic, product, customer_id, "partition", value, created_us, traceparent)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING""",
    postgres=text("""
        INSERT INTO outbox (id, topic, product, customer_id, partition, value, created_us, traceparent)
        SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:topics AS text[]), CAST(:products AS text[]),
            CAST(:customer_ids AS text[]), CAST(:partitions AS integer[]), CAST(:contents AS bytea[]),
            CAST(:times AS bigint[]), CAST(:traces AS text[]))
        ON CONFLICT (id) DO NOTHING"""),
)

MARK_SENT = Bulk(
    columns=("times", "seqs"),
    sqlite="UPDATE outbox SET sent_us = ? WHERE seq = ?",
    postgres=text("""
        UPDATE outbox SET sent_us = sent.at_us
        FROM unnest(CAST(:times AS bigint[]), CAST(:seqs AS bigint[])) AS sent (at_us, seq)
        WHERE outbox.seq = sent.seq"""),
)

END_FROZEN_OWNERS = text("""
    SELECT pg_terminate_backend(activity.pid)
    FROM positions JOIN pg_stat_activity AS activity ON activity.backend_xid = positions.xmax
    WHERE positions.reader = :reader AND positions.topic = :topic AND positions.partition = :partition
        AND activity.usename = current_user AND activity.pid <> pg_backend_pid()
        AND activity.state_change < clock_timestamp() - make_interval(secs => :frozen_seconds)""")
"""PostgreSQL alone. Whoever moves a position and has not ended is named by its row; the server's own limits
do not see a client that was frozen between two messages of one statement (decision record 0073)."""
