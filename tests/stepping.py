"""Steps a whole service by hand, until nothing is left to do: for tests that keep its clock."""

from datetime import timedelta

from services.bootstrap import Assembly
from shared.clock import ManualClock

PEERS_WAIT = timedelta(seconds=3)
"""Calls wait two seconds, until it is known how many customers stopped at the same cutoff."""


async def settle(assembly: Assembly, clock: ManualClock) -> None:
    """Reads what there is, tells the time, then steps every worker on the data's way until all are idle."""
    step = {name: worker.step for name, worker in assembly.workers.items()}
    await step["evaluator"]()
    await step["ticker"]()
    while await step["evaluator"]():
        continue
    while await step["relay"]():
        await step["notifier"]()
    clock.advance(PEERS_WAIT)
    while await step["timekeeper"]() or await step["sender"]():
        continue
