"""Every table, once, the same on SQLite and PostgreSQL: instants are bigint microseconds, days ISO text."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

# An autoincrementing key that is 64 bits wide on PostgreSQL and SQLite's rowid on SQLite.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _partial_index(
    name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False
) -> None:
    """An index of those rows alone for which `where` holds, on either database."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


api_keys = Table(
    "api_keys",
    metadata,
    Column("prefix", Text, primary_key=True),  # the visible part, "ut_3f9c2a71"
    Column("key_hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of the whole key
    Column("product", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("scopes", Text, nullable=False, server_default="ingest customers read"),
    Column("events_per_second_max", Integer),  # NULL: the bound that holds for every key
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("last_used_us", BigInteger),
)

users = Table(  # who may sign in to the inbox
    "users",
    metadata,
    Column("name", Text, primary_key=True),  # lower case; an e-mail address where OIDC is used
    Column("role", Text, nullable=False),  # csm, lead, admin
    Column("csm", Text),  # the CSM that this person is
    Column("password_hash", Text),  # argon2id; NULL: signs in by OIDC alone
    Column("created_us", BigInteger, nullable=False),
)

sessions = Table(  # who is signed in; a row that is gone is a session that has ended
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # SHA-256 of what the cookie holds
    Column("user_name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
Index("sessions_user", sessions.c.user_name)
Index("sessions_expires", sessions.c.expires_us)

sign_in_failures = Table(  # how often a name, an address or both were wrong of late
    "sign_in_failures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failure_count", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
)

positions = Table(  # how far each reader of the log has come; the fence of every batch
    "positions",
    metadata,
    Column("reader", Text, primary_key=True),  # "evaluator", "notifier"
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("watermark_us", BigInteger, nullable=False, server_default="0"),
    Column("updated_us", BigInteger, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("product", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("due_us", BigInteger),  # when the next unsettled day is due; NULL: nothing to wait for
    Column("state", LargeBinary, nullable=False),  # CustomerState, msgpack
)
_partial_index(
    "customers_due", customers.c.partition, customers.c.due_us, where=customers.c.due_us.is_not(None)
)

_partial_index(  # whom the outage guard counts: the customers of a product who are next judged at one instant
    "customers_judged",
    customers.c.product,
    customers.c.due_us,
    where=customers.c.due_us.is_not(None),
)

excused_days = Table(
    "excused_days",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("day", Text, primary_key=True),
)

adopted_products = Table(  # the rules by which a partition's customers were last looked at
    "adopted_products",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("key", Text, nullable=False),
)

seen_rules = Table(  # every set of rules by which customers were ever looked at, for people to read
    "seen_rules",
    metadata,
    Column("product", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("rules", Text, nullable=False),  # JSON, as they stood in the file
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),  # when they were last taken up
)

outbox = Table(  # a message is a row before it is a message; kept afterwards as the history of triggers
    "outbox",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # trigger id or dead letter id
    Column("topic", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("partition", Integer, nullable=False, server_default="0"),  # whoever owns it, relays it
    Column("value", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("sent_us", BigInteger),
    Column("traceparent", Text),  # of the decision, where that is traced
)
_partial_index("outbox_unsent", outbox.c.seq, where=outbox.c.sent_us.is_(None))
Index("outbox_customer", outbox.c.product, outbox.c.customer_id)
Index("outbox_created", outbox.c.topic, outbox.c.created_us)

erasures = Table(  # receipts: what an erasure took away, of whom nothing is left, not even the name
    "erasures",
    metadata,
    Column("receipt_id", Text, primary_key=True),
    Column("product", Text, nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),  # the visible part of a key
    Column("erased_us", BigInteger, nullable=False),
    Column("customer_count", Integer, nullable=False),
    Column("trigger_count", Integer, nullable=False),
    Column("task_count", Integer, nullable=False),
    Column("delivery_count", Integer, nullable=False),
    Column("dead_letter_count", Integer, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),  # the id of the trigger that opened it
    Column("product", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("type", Text, nullable=False),  # of the trigger
    Column("state", Text, nullable=False),
    Column("owner", Text),
    Column("heard_by", Text, nullable=False, server_default=""),  # CSMs whom it escalated to
    Column("opened_us", BigInteger, nullable=False),
    Column("due_us", BigInteger),  # when the contact window closes
    Column("wake_us", BigInteger),  # next instant at which the task changes by itself
    Column("closed_us", BigInteger),
    Column("outcome", Text),
    Column("held", Text),  # the outage that holds its calls
    Column("updated_us", BigInteger, nullable=False),
    Column("day", Text, nullable=False),  # the usage day that it is about
    Column("surprise", Float, nullable=False),  # 0 where the trigger has none
    Column("contact", Text, nullable=False),  # Contact, JSON: thousands of tasks share a handful
    Column("task", LargeBinary, nullable=False),  # Task, msgpack
)
_partial_index(  # one open task per customer and rule, whoever races whom
    "tasks_one_open",
    tasks.c.product,
    tasks.c.customer_id,
    tasks.c.rule,
    tasks.c.type,
    unique=True,
    where=tasks.c.closed_us.is_(None),
)
_partial_index("tasks_live", tasks.c.product, tasks.c.owner, where=tasks.c.closed_us.is_(None))
_partial_index(  # the inbox: parts and windows are counted, and of each the most surprising are read
    "tasks_inbox",
    tasks.c.contact,
    tasks.c.surprise,
    tasks.c.opened_us,
    tasks.c.state,
    tasks.c.held,
    tasks.c.owner,
    tasks.c.heard_by,
    where=tasks.c.closed_us.is_(None),
)
Index(  # who else was silent on a day
    "tasks_day",
    tasks.c.product,
    tasks.c.day,
    tasks.c.type,
    tasks.c.surprise,
    tasks.c.customer_id,
)
Index("tasks_customer", tasks.c.product, tasks.c.customer_id, tasks.c.opened_us)
Index("tasks_closed", tasks.c.closed_us)
Index("tasks_opened", tasks.c.opened_us)
_partial_index("tasks_wake", tasks.c.wake_us, where=tasks.c.wake_us.is_not(None))
_partial_index("tasks_held", tasks.c.held, where=tasks.c.held.is_not(None))

task_triggers = Table(  # every trigger a task knows, as published; a known id changes nothing
    "task_triggers",
    metadata,
    Column("trigger_id", Text, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
Index("task_triggers_task", task_triggers.c.task_id)

task_history = Table(  # the audit trail
    "task_history",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("task_id", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
)
Index("task_history_task", task_history.c.task_id)

deliveries = Table(  # trigger x channel
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trigger_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),  # opened, again, escalated, woken, digest, closed, changed
    Column("addressee", Text, nullable=False, server_default=""),  # the CSM it is for; else the owner
    Column("state", Text, nullable=False),  # pending, held, delivered, dead, cancelled
    Column("created_us", BigInteger, nullable=False),
    Column("next_attempt_us", BigInteger),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("lease_until_us", BigInteger),
    Column("delivered_us", BigInteger),
    Column("uncertain", Integer, nullable=False, server_default="0"),  # 1: may have arrived
    Column("replayed", Integer, nullable=False, server_default="0"),  # 1: asked for again by a person
    Column("reference", Text, nullable=False, server_default=""),  # what the channel calls the message
    Column("last_error", Text, nullable=False, server_default=""),
)
_partial_index(
    "deliveries_due",
    deliveries.c.channel,
    deliveries.c.next_attempt_us,
    where=deliveries.c.next_attempt_us.is_not(None),
)
Index("deliveries_task", deliveries.c.task_id)
_partial_index(
    "deliveries_reference",  # what one message says
    deliveries.c.channel,
    deliveries.c.reference,
    where=deliveries.c.reference != "",
)
Index("deliveries_product", deliveries.c.product, deliveries.c.created_us)

attempts = Table(
    "attempts",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("delivery_id", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("result", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("took_us", BigInteger, nullable=False),
)
Index("attempts_delivery", attempts.c.delivery_id)

outages = Table(  # the outage guard: the stops of one product, rule and cutoff
    "outages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("product", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("cutoff_us", BigInteger, nullable=False),
    Column("day", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stopped_count", Integer, nullable=False),
    Column("cohort_count", Integer, nullable=False),  # customers with that cutoff
    Column("opened_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("wake_us", BigInteger),  # next instant at which it changes by itself
    Column("closed_by", Text, nullable=False, server_default=""),
)
_partial_index("outages_wake", outages.c.wake_us, where=outages.c.wake_us.is_not(None))
Index("outages_product", outages.c.product, outages.c.opened_us)

call_days = Table(  # how many calls a CSM with a limit has been handed on a day
    "call_days",
    metadata,
    Column("id", Text, primary_key=True),  # the CSM and the day in the CSM's zone
    Column("handed_count", Integer, nullable=False, server_default="0"),
    Column("digest_us", BigInteger),  # when the calls beyond the limit are told of
    Column("wake_us", BigInteger),  # next instant at which calls are handed out or put by
)
_partial_index("call_days_wake", call_days.c.wake_us, where=call_days.c.wake_us.is_not(None))

channel_states = Table(  # what an endpoint has told us about itself
    "channel_states",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("disabled_us", BigInteger),
    Column("reason", Text, nullable=False, server_default=""),
    Column("failure_count", Integer, nullable=False, server_default="0"),  # in a row
    Column("rests_until_us", BigInteger),  # nothing is tried before
)

log_records = Table(  # the embedded log alone; on Kafka it stays empty
    "log_records",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("appended_us", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary, nullable=False),
    Column("traceparent", Text),  # of the request that asked for it, where that is traced
    sqlite_with_rowid=False,
)

__all__ = [
    "adopted_products",
    "api_keys",
    "attempts",
    "call_days",
    "channel_states",
    "customers",
    "deliveries",
    "erasures",
    "excused_days",
    "log_records",
    "metadata",
    "outages",
    "outbox",
    "positions",
    "seen_rules",
    "sessions",
    "sign_in_failures",
    "task_history",
    "task_triggers",
    "tasks",
    "users",
]
