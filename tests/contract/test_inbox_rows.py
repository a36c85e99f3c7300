"""What the inbox's pages and its door read and write is the same on SQLite and PostgreSQL."""

from collections.abc import Callable

import msgspec
import pytest

from services.notifier.store import board, ledgers, records
from services.notifier.store.board import TaskFilter
from services.notifier.tasks.lifecycle import Step, Task, finish, snooze
from services.notifier.web import sessions, throttle
from services.notifier.web.throttle import PAIR_MAX, TooManyAttempts
from services.notifier.web.users import Users
from shared.clock import ManualClock, from_us
from shared.database import Database
from shared.errors import Conflict
from tests.contract.notifier_rows import CONFIG, take
from tests.integration.notifier.door import CHEAP, PASSWORD
from tests.unit.notifier.cases import HOUR, MINUTE, NOON, stop


async def changed(database: Database, task_id: str, change: Callable[[Task], Step], now_us: int) -> None:
    async with database.begin() as connection:
        ledger = await ledgers.ledger_of(connection, [task_id], CONFIG.channels)
        task = ledger.task(task_id)
        assert task is not None
        ledger.take(change(task), now_us)
        await ledgers.write(connection, ledger)


async def test_live_tasks_are_counted_by_window_and_by_what_they_wait_for(database: Database) -> None:
    windows = {"c-1": "14:00-17:00", "c-2": "14:00-17:00", "c-3": None, "c-4": "14:00-17:00"}
    await take(database, *(stop(key, contact_window=window) for key, window in windows.items()))
    later_us = NOON + HOUR
    await changed(database, stop("c-4").id, lambda task: snooze(task, "csm-1", later_us, "", NOON), NOON)
    async with database.read() as connection:
        groups = await board.groups(connection, TaskFilter())
        found = sorted((g.contact.window or "", g.waiting, g.count) for g in groups)
    assert found == [("", "", 1), ("14:00-17:00", "", 2), ("14:00-17:00", "snoozed", 1)]


async def test_of_a_window_the_most_surprising_are_read_and_no_more(database: Database) -> None:
    surprises = {"c-1": 0.7, "c-2": 0.99, "c-3": 0.8, "c-4": 0.9}
    await take(database, *(stop(key, surprise=share) for key, share in surprises.items()))
    async with database.read() as connection:
        texts = [group.contact_text for group in await board.groups(connection, TaskFilter())]
        some = await board.surprising(connection, TaskFilter(), "", texts, count_max=3)
        others = await board.silent_too(connection, some[0], count_max=2)
    assert [task.customer_id for task in some] == ["c-2", "c-4", "c-3"]
    assert (others[0], [task.customer_id for task in others[1]]) == (3, ["c-4", "c-3"])


async def test_calls_made_are_told_with_who_made_them_and_when_they_were_first_touched(
    database: Database,
) -> None:
    await take(database, stop("c-1"), stop("c-2"))
    done_us = NOON + 30 * MINUTE
    await changed(
        database, stop("c-1").id, lambda task: finish(task, "csm-2", "reached", "", done_us), done_us
    )
    async with database.read() as connection:
        (call,) = await records.calls_made(connection, from_us=NOON)
        trail = await records.trail_of(connection, [stop("c-1").id, stop("c-2").id], count_max=2)
        tasks = await records.customer_tasks(connection, "reserve", "c-1", count_max=5)
    assert msgspec.structs.asdict(call) == {
        "rule": "usage-stopped",
        "by": "csm-2",
        "outcome": "reached",
        "opened_us": NOON,
        "first_touch_us": done_us,
        "done_us": done_us,
    }
    assert [line.note.change for line in trail] == ["done", "opened"]
    assert [task.id for task in tasks] == [stop("c-1").id]


async def test_users_and_their_sessions_come_and_go_together(database: Database) -> None:
    users = Users(database, ManualClock(from_us(NOON)), CHEAP)
    await users.add("one", role="admin", password=PASSWORD)
    with pytest.raises(Conflict):
        await users.add("ONE", role="csm", password=PASSWORD)
    async with database.begin() as connection:
        await sessions.begin(connection, "token", "one", now_us=NOON, lifetime_us=HOUR)
    async with database.read() as connection:
        assert await sessions.user_name_of(connection, "token", NOON) == "one"
        assert await sessions.user_name_of(connection, "token", NOON + HOUR) is None
        assert await sessions.user_name_of(connection, "other", NOON) is None
    await users.remove("one")
    async with database.read() as connection:
        assert await sessions.user_name_of(connection, "token", NOON) is None


async def test_wrong_sign_ins_are_counted_until_their_window_ends(database: Database) -> None:
    for _ in range(PAIR_MAX):
        async with database.begin() as connection:
            await throttle.count(connection, "one", "203.0.113.7", NOON)
    with pytest.raises(TooManyAttempts) as refused:
        async with database.begin() as connection:
            await throttle.count(connection, "one", "203.0.113.7", NOON + MINUTE)
    assert refused.value.retry_after_seconds == 14 * 60
    async with database.begin() as connection:
        await throttle.count(connection, "one", "203.0.113.7", NOON + 15 * MINUTE)
        await throttle.forgive(connection, "one", "203.0.113.7")
