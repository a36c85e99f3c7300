"""A history as read from files, and what came of replaying it through the core as if live."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.errors import SetupError

if TYPE_CHECKING:
    from services.commands.calls import Call
    from services.commands.tables import Rejections
    from services.evaluator.core.rules import Product
    from services.evaluator.replay import Uses
    from shared.config import Config
    from shared.events import Profile
    from shared.triggers import Trigger


USES_PER_STEP = 10_000
"""How often the progress of reading is shown."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: uses by customer, profiles by customer, and how many uses in all."""

    uses: Mapping[str, "Uses"]
    profiles: Mapping[str, "Profile"]
    use_count: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: triggers and calls in the order decided, first and last day judged."""

    triggers: Sequence["Trigger"]
    calls: Sequence["Call"]
    first_on: date
    last_on: date


def read_history(events: str, customers: str | None, product: "Product", rejected: "Rejections") -> History:
    """The uses in `events`, as far as the product's rules look at them, and the profiles in `customers`;
    broken lines go to `rejected`.
    """
    from services.commands import customer_rows, usage_rows
    from services.commands.gathering import Gathering
    from services.commands.progress import progress
    from services.commands.tables import Table
    from services.evaluator.replay import asks_for_days_alone
    from shared.clock import SystemClock

    profiles = {}
    if customers is not None:
        profiles = dict(customer_rows.customers(Table(customers), rejected))
    gathering = Gathering(is_day_enough=asks_for_days_alone(product))
    table, shown_at = Table(events), USES_PER_STEP
    with progress(f"reading {Path(events).name}", table.size) as bar:
        for part in usage_rows.use_parts(table, rejected, product=product.id, now_us=SystemClock().now_us()):
            gathering.add(part)
            if gathering.count >= shown_at:
                bar.at(table.position)
                shown_at = gathering.count + USES_PER_STEP
    return History(uses=gathering.uses(), profiles=profiles, use_count=gathering.count)


def replay_history(
    history: History, product: "Product", config: "Config", *, first_on: date | None, last_on: date | None
) -> Replay:
    """Replays customer by customer. Raises SetupError when there is nothing to replay."""
    from services.commands.calls import calls_of, decided_us
    from services.commands.progress import progress
    from services.evaluator.replay import replay_customer
    from shared.events import Profile

    days = _days(history, product)
    if days is None:
        raise SetupError("there is no use in the file: nothing to replay")
    last = last_on.toordinal() if last_on else days[1]
    triggers: list[Trigger] = []
    calls: list[Call] = []
    with progress(f"replaying {len(history.uses)} customers", len(history.uses)) as bar:
        for done, (customer_id, uses) in enumerate(history.uses.items(), 1):
            profile = history.profiles.get(customer_id, Profile())
            replayed = replay_customer(customer_id, profile, uses, product=product, last_on=last)
            told = list(_told_from(first_on, replayed.triggers))
            triggers += told
            calls += calls_of(told, config)
            bar.at(done)
    return Replay(
        triggers=sorted(triggers, key=lambda t: (decided_us(t), t.data.customer.id)),
        calls=sorted(calls, key=lambda c: (decided_us(c.trigger), c.trigger.data.customer.id)),
        first_on=first_on or date.fromordinal(days[0]),
        last_on=date.fromordinal(last),
    )


def _days(history: History, product: "Product") -> tuple[int, int] | None:
    """The first and last usage day of any use, by each customer's own zone."""
    from services.evaluator.core.calendar import day_of
    from services.evaluator.core.rules import settings_of
    from shared.events import Profile

    edges = []
    for customer_id, uses in history.uses.items():
        settings = settings_of(history.profiles.get(customer_id, Profile()), product)
        dated = [use.day for use in uses.dated if use.day]
        instants = [use.occurred_us for use in uses.dated if use.occurred_us is not None]
        if instants:
            dated += [day_of(settings.zone, settings.day_starts, at(instants)) for at in (min, max)]
        dated += [at(known) for known in uses.days.values() for at in (min, max)]
        edges += [min(dated), max(dated)]
    return (min(edges), max(edges)) if edges else None


def _told_from(first_on: date | None, triggers: Iterable["Trigger"]) -> Iterator["Trigger"]:
    """What a service live since `first_on` would have told: nothing before it, nor of stops before it."""
    told = set()
    for trigger in triggers:
        about_told = trigger.data.stopped_id is None or trigger.data.stopped_id in told
        if about_told and (first_on is None or trigger.data.day >= first_on):
            told.add(trigger.id)
            yield trigger
