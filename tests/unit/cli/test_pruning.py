"""What is over goes after its time, and nothing that somebody could still ask for."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, insert, select

from services import pruning
from services.pruning import Pruning
from shared import schema
from shared.clock import ManualClock
from shared.config import Config, RetentionSection
from shared.database import Database
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_TRIGGERS

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY_US = 86_400_000_000
LOG_HOURS = 24 * 40
ALL = RetentionSection.model_validate({"triggers": "90d", "tasks": "60d", "dead_letters": "10d"})


def pruning_on(
    database: Database, retention: RetentionSection = ALL, *, log_hours: int = LOG_HOURS
) -> Pruning:
    return Pruning(database, ManualClock(NOW), retention, log_hours=log_hours)


def days_ago(days: float) -> int:
    return int(NOW.timestamp() * 1_000_000 - days * DAY_US)


async def add(database: Database, table: Table, **given: Any) -> None:
    """A row with something in every column that must not be empty."""
    values: dict[str, Any] = {}
    for column in table.c:
        if not column.nullable and column.server_default is None and column.autoincrement is not True:
            values[column.name] = {int: 0, float: 0.0, bytes: b""}.get(column.type.python_type, "x")
    async with database.begin() as connection:
        await connection.execute(insert(table).values({**values, **given}))


async def ids(database: Database, table: Table, column: str = "id") -> list[Any]:
    async with database.read() as connection:
        return sorted((await connection.execute(select(table.c[column]))).scalars())


async def add_told(database: Database, name: str, days: float, *, topic: str, is_sent: bool = True) -> None:
    sent_us = days_ago(days) if is_sent else None
    await add(database, schema.outbox, id=name, topic=topic, created_us=days_ago(days), sent_us=sent_us)


async def test_triggers_and_dead_letters_go_once_they_are_old_and_were_sent(database: Database) -> None:
    for topic in (TOPIC_TRIGGERS, TOPIC_DEAD_LETTERS):
        for days in (9, 11, 89, 91):
            await add_told(database, f"{topic} {days}", days, topic=topic)
        await add_told(database, f"{topic} unsent", 1000, topic=topic, is_sent=False)
    assert await pruning_on(database).step()
    assert await ids(database, schema.outbox) == [
        *(f"{TOPIC_DEAD_LETTERS} {left}" for left in ("9", "unsent")),
        *(f"{TOPIC_TRIGGERS} {left}" for left in ("11", "89", "9", "unsent")),
    ]
    assert not await pruning_on(database).step()


async def test_what_the_log_may_still_ask_for_stays_as_long_as_the_log(database: Database) -> None:
    # 100 days of log: a notifier that lags by 99 would take the call of a pruned trigger for an erased one.
    await add_told(database, "t", 99, topic=TOPIC_TRIGGERS)
    assert not await pruning_on(database, log_hours=24 * 100).step()
    assert await pruning_on(database, log_hours=24 * 98).step()


async def test_closed_tasks_go_with_all_that_was_said_of_them_and_open_ones_never(database: Database) -> None:
    for name, closed_us in (("old", days_ago(61)), ("young", days_ago(59)), ("open", None)):
        await add(database, schema.tasks, id=name, customer_id=name, closed_us=closed_us)
        await add(database, schema.task_triggers, trigger_id=name, task_id=name)
        await add(database, schema.task_history, task_id=name)
        await add(database, schema.deliveries, id=f"d-{name}", task_id=name)
        await add(database, schema.attempts, delivery_id=f"d-{name}")
    assert await pruning_on(database).step()
    assert await ids(database, schema.tasks) == ["open", "young"]
    assert await ids(database, schema.task_triggers, "task_id") == ["open", "young"]
    assert await ids(database, schema.task_history, "task_id") == ["open", "young"]
    assert await ids(database, schema.deliveries) == ["d-open", "d-young"]
    assert await ids(database, schema.attempts, "delivery_id") == ["d-open", "d-young"]


async def test_without_a_setting_everything_is_kept(database: Database) -> None:
    await add_told(database, "t", 5000, topic=TOPIC_TRIGGERS)
    await add(database, schema.tasks, closed_us=days_ago(5000))
    assert not await pruning_on(database, RetentionSection()).step()


async def test_many_go_some_at_a_time(database: Database) -> None:
    count = pruning.ROWS_PER_STEP_MAX + 1
    for n in range(count):
        await add_told(database, f"t-{n}", 91, topic=TOPIC_TRIGGERS)
    steps = [await pruning_on(database).step() for _ in range(3)]
    assert steps == [True, True, False]
    assert await ids(database, schema.outbox) == []


@pytest.mark.parametrize("kept", ["59d", "1h"])
def test_a_time_in_which_late_events_may_still_come_is_refused(kept: str) -> None:
    with pytest.raises(ValueError, match="at least 60d"):
        Config.model_validate({"retention": {"triggers": kept}})
