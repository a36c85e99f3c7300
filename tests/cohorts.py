"""Customers drawn from a seed, who stay by lot, or more often where they formed a habit early."""

import random
from collections.abc import Callable, Mapping

from services.commands.discovery.cohort import Cohort, Uses, gather
from services.commands.outcomes import Outcome
from shared.events import Profile

FIRST_ON = 738_000
DATA_DAYS = 420
KNOWN_AFTER_DAYS = 180

Stays = Callable[[Mapping[str, Mapping[int, int]], int, random.Random], bool]
"""From a customer's uses and the day on which it began to whether it stays."""


def drawn(seed: int, customer_count: int, stays: Stays) -> Cohort:
    """Each has its own rate of use and of scouts; outcomes are known half a year after the beginning."""
    chance = random.Random(seed)
    uses, outcomes = {}, {}
    for number in range(customer_count):
        began_on = FIRST_ON + chance.randrange(10, 200)
        id = f"c-{seed}-{number}"
        uses[id] = _uses(began_on, chance)
        stayed = stays(uses[id], began_on, chance)
        outcomes[id] = Outcome(stayed=stayed, known_on=began_on + KNOWN_AFTER_DAYS)
    # One customer is there from the first day to the last: the data's edges, itself without an outcome.
    uses["edges"] = {"*": {FIRST_ON: 1, FIRST_ON + DATA_DAYS: 1}}
    profiles = dict.fromkeys(uses, Profile())
    return gather(uses, profiles, outcomes, anchor="first_active_on")


def by_lot(uses: Uses, began_on: int, chance: random.Random) -> bool:
    """Staying has nothing to do with use."""
    return chance.random() < 0.6


def planted(at_least: int, within_days: int) -> Stays:
    """85 % stay of those who sent enough scouts early, 45 % of the others."""

    def stays(uses: Uses, began_on: int, chance: random.Random) -> bool:
        sent = sum(n for day, n in uses.get("scout.sent", {}).items() if day - began_on < within_days)
        return chance.random() < (0.85 if sent >= at_least else 0.45)

    return stays


def _uses(began_on: int, chance: random.Random) -> Uses:
    active, scouts = chance.uniform(0.2, 0.95), chance.choice((0.1, 0.2, 0.4, 0.7))
    found: dict[str, dict[int, int]] = {"*": {}, "page.viewed": {}, "scout.sent": {}, "export.made": {}}
    for day in range(began_on, began_on + 120):
        if day != began_on and chance.random() > active:
            continue
        found["page.viewed"][day] = chance.randrange(1, 6)
        sent = sum(chance.random() < scouts / 2 for _ in range(4))
        if sent:
            found["scout.sent"][day] = sent
        if chance.random() < 0.05:
            found["export.made"][day] = 1
        found["*"][day] = sum(
            found[name].get(day, 0) for name in ("page.viewed", "scout.sent", "export.made")
        )
    return found
