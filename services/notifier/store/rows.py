"""Values as rows and rows as values; and the statements that each database spells its own way."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Insert, Row, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.planning.contact import Contact
from services.notifier.planning.guard import Outage
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.ledger import HistoryLine
from services.notifier.tasks.lifecycle import Note, Task

_PARAMETERS_MAX = 500
"""Values in one IN list: far below what either database takes."""

_task_encoder = msgspec.msgpack.Encoder()
_task_decoder: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)


def decode_task(value: bytes) -> Task:
    """The task of a stored row."""
    return _task_decoder.decode(value)


@lru_cache(maxsize=1024)
def contact_text(contact: Contact) -> str:
    """A contact as text: equal ones are equal, so that the database can group by it."""
    return msgspec.json.encode(contact).decode()


def task_row(task: Task) -> dict[str, Any]:
    """The stored row of a task: the whole of it, and beside it what is looked for."""
    return {
        "id": task.id,
        "product": task.product,
        "customer_id": task.customer_id,
        "rule": task.rule,
        "type": task.trigger.type,
        "state": task.state,
        "owner": task.owner,
        "heard_by": heard_by(task.heard),
        "opened_us": task.opened_us,
        "due_us": task.plan.times.due_us,
        "wake_us": task.wake_us,
        "closed_us": task.closed_us,
        "outcome": task.outcome,
        "held": task.held,
        "updated_us": task.updated_us,
        "day": task.trigger.data.day.isoformat(),
        "surprise": task.trigger.data.surprise or 0.0,
        "contact": contact_text(task.plan.contact),
        "task": _task_encoder.encode(task),
    }


def heard_by(csms: Sequence[str]) -> str:
    """How `tasks.heard_by` holds CSMs, so that each can be looked for: between line ends."""
    return "".join(f"\n{csm}\n" for csm in csms)


def outage_row(outage: Outage) -> dict[str, Any]:
    """The stored row of an outage."""
    return {**msgspec.structs.asdict(outage), "day": outage.day.isoformat()}


def delivery_from_row(row: RowMapping) -> Delivery:
    """The delivery of a stored row."""
    values = {name: row[name] for name in Delivery.__struct_fields__}
    flags = {name: bool(values[name]) for name in ("uncertain", "replayed")}
    return Delivery(**{**values, **flags})


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """The stored row of a delivery."""
    flags = {"uncertain": int(delivery.uncertain), "replayed": int(delivery.replayed)}
    return {**msgspec.structs.asdict(delivery), **flags}


def history_line(row: Row[Any]) -> HistoryLine:
    """The line of a stored row."""
    return HistoryLine(
        task_id=row.task_id,
        at_us=row.at_us,
        note=Note(change=row.change, actor=row.actor, detail=row.detail),
    )


def insert_into(connection: AsyncConnection, table: Table) -> Any:
    """INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells per dialect."""
    made: Insert = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    return made


def upsert(connection: AsyncConnection, table: Table, key: list[str], columns: Collection[str]) -> Any:
    """INSERT, or where the key is there already UPDATE of every other column named."""
    statement = insert_into(connection, table)
    changed = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


def slices(values: Collection[Any]) -> Iterable[list[Any]]:
    """In order, as many at a time as go into one list of a statement."""
    ordered = sorted(values)
    return (ordered[i : i + _PARAMETERS_MAX] for i in range(0, len(ordered), _PARAMETERS_MAX))
