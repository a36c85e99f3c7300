"""What people do to tasks, whoever asks for it: one change at a time, in a transaction of its own."""

from collections.abc import Callable

from services.notifier.desk import guarding
from services.notifier.parts import NotifierParts
from services.notifier.planning.guard import Outage
from services.notifier.store import ledgers
from services.notifier.tasks.ledger import Ledger, key_of
from services.notifier.tasks.lifecycle import Step, Task
from shared.errors import Conflict, NotFound

Decide = Callable[[Task, int], Step]
"""A task and now (microseconds) to what follows; raises Conflict or InvalidInput."""


class Desk:
    """Changes tasks one at a time, whoever asks: API, inbox or Slack."""

    def __init__(self, parts: NotifierParts, on_news: Callable[[], None]) -> None:
        self._parts = parts
        self._on_news = on_news

    async def change(self, task_id: str, decide: Decide, *, product: str | None = None) -> Task:
        """Applies a change to a task and returns it as it is then; `product` hides those of others.

        Raises NotFound, and whatever `decide` raises.
        """
        now_us = self._parts.clock.now_us()
        async with self._parts.database.begin() as connection:
            ledger = await ledgers.ledger_of(connection, [task_id], self._parts.config.channels)
            task = ledger.task(task_id)
            if task is None or product not in (None, task.product):
                raise NotFound(f"no task {task_id[:80]!r}")
            step = decide(task, now_us)
            _must_be_alone(ledger, task, step.task)
            ledger.take(step, now_us)
            await ledgers.write(connection, ledger)
        if not ledger.is_empty:
            self._on_news()
        return step.task

    async def release(self, outage_id: str, actor: str, *, product: str | None = None) -> Outage:
        """Lets the calls that the outage guard holds go. Raises NotFound or Conflict."""
        released = await guarding.release(
            self._parts.database,
            self._parts.config,
            outage_id,
            actor=actor,
            now_us=self._parts.clock.now_us(),
            product=product,
        )
        self._on_news()
        return released


def _must_be_alone(ledger: Ledger, before: Task, after: Task) -> None:
    """A closed task is opened again only where none has taken its place. Raises Conflict."""
    if before.is_live or not after.is_live:
        return
    others = [task for task in ledger.live(key_of(after.trigger)) if task.trigger.type == after.trigger.type]
    if others:
        raise Conflict("a newer task of this customer is open; go on there", code="newer_task")
