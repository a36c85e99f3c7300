"""What the metrics say of open tasks is what the database holds."""

from pathlib import Path

from services.notifier.desk.census import Census
from services.notifier.tasks.lifecycle import acknowledge, finish
from shared.metrics import REGISTRY
from tests.integration.notifier.test_outages import product, stops
from tests.integration.notifier.world import world
from tests.unit.notifier.cases import stop


def said(metric: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"usage_triggers_{metric}", {"product": "reserve", **labels})


async def test_open_tasks_are_counted_by_state_and_the_oldest_by_its_age(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        await here.read(stop("c-1"))
        await here.after(seconds=30)
        await here.read(stop("c-2"), stop("c-3"))
        await here.notifier.desk.change(stop("c-1").id, lambda task, now: acknowledge(task, "csm-1", now))
        census = Census(here.parts)
        await here.after(seconds=12)
        assert await census.step() is False
        counted = [said("tasks_open", state=s) for s in ("open", "notified", "acknowledged", "snoozed")]
        assert counted == [0, 2, 1, 0]
        assert said("oldest_open_task_seconds") == 12
        for customer in ("c-1", "c-2", "c-3"):
            await here.notifier.desk.change(
                stop(customer).id, lambda task, now: finish(task, "csm-1", "reached", "", now)
            )
        await census.step()
        assert said("tasks_open", state="notified") == 0
        assert said("oldest_open_task_seconds") == 0


async def test_held_calls_are_counted(tmp_path: Path) -> None:
    async with product(tmp_path, still_used=70) as here:
        await here.read(*stops(30))
        await Census(here.parts).step()
        assert said("stops_held") == 30
