"""The same use, read in another order and more than once, ends in the same standing triggers.

What is claimed, and why it holds. Let a customer's uses all be read within the late window, live (no
backfill), under one calendar that nothing is learned for, with rules whose cutoff is the day's end, and let
the first use of all be read first (days are judged from the first use *read*). Then, once everything was read
and settled, these are the same for every order, delay and repetition:

- the stops told and not retracted, by id, and so by rule, day and episode;
- the resumptions of those stops, by id;
- the streaks told by rules that are told once, by id.

For the set of active days only grows and does not depend on order; with the day's end as cutoff every use of
a day is in time, so the missed days end as the settled expected days without use; what stands is read from
these two sets alone, and told is what stands (a streak once long enough stays so, for adding a day never
shortens one). A rule with an early cutoff makes no such claim: use after it counts by whether the day was
settled when it was read.
"""

from collections.abc import Iterable
from datetime import timedelta
from random import Random

import pytest

from shared.config import ProductSection
from shared.events import Event, Tick
from shared.triggers import RESUMED, Trigger
from tests.histories import CUSTOMER, DAY_STARTS, DAY_US, HOUR_US, PRODUCT, ZONES, Story, section
from tests.oracle.log import Entry
from tests.property.driver import Driver
from tests.property.scale import seeds

DAYS = 30  # all of it lies within the late window of the last record


def drawn_uses(random: Random, start_us: int) -> list[Event]:
    """Some weeks of use with holes in them, in the order of time."""
    share = random.choice((0.3, 0.6, 0.9))
    days = [day for day in range(DAYS) if day == 0 or random.random() < share]
    return [
        Event(
            product=PRODUCT,
            customer_id=CUSTOMER,
            event_id=f"{day}/{i}",
            occurred_us=start_us + day * DAY_US + random.randint(0, DAY_US),
            received_us=start_us + day * DAY_US,
        )
        for day in days
        for i in range(random.choice((1, 1, 2)))
    ]


def read_in_order(uses: Iterable[Event], end_us: int) -> list[Entry]:
    """Each use as it happens, and a tick twice a day."""
    first_us = min(use.occurred_us or 0 for use in uses)
    entries = [Entry(use.occurred_us or 0, use) for use in uses]
    entries += [Entry(us, Tick(at_us=us)) for us in range(first_us + 1, end_us, 12 * HOUR_US)]
    return settled_at(sorted(entries, key=lambda entry: entry.appended_us), end_us)


def read_in_any_order(random: Random, uses: list[Event], end_us: int) -> list[Entry]:
    """The first use as it happens, every other one at some time after, some of them again; few ticks."""
    first, *others = sorted(uses, key=lambda use: use.occurred_us or 0)
    entries = [Entry((first.occurred_us or 0) + 1, first)]
    for use in others:
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            entries.append(Entry(random.randint(use.occurred_us or 0, end_us - 1) + 2, use))
    for _ in range(random.randint(0, 40)):
        us = random.randint(first.occurred_us or 0, end_us)
        entries.append(Entry(us + 2, Tick(at_us=us - random.choice((0, 0, 5 * HOUR_US)))))
    return settled_at(sorted(entries, key=lambda entry: entry.appended_us), end_us)


def settled_at(entries: list[Entry], end_us: int) -> list[Entry]:
    return [*entries, Entry(end_us + DAY_US, Tick(at_us=end_us + DAY_US))]


def standing(log: list[Entry], product: ProductSection) -> set[tuple[str, str]]:
    """Type and id of what was told and stands when the log ends."""
    driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=product)
    told: list[Trigger] = [trigger for entry in log for trigger in driver.read(entry)]
    assert not driver.rejected
    retracted = {t.data.stopped_id for t in told if t.type.endswith(".retracted")}
    alive = [t for t in told if t.id not in retracted and not t.type.endswith(".retracted")]
    alive = [t for t in alive if t.type != RESUMED or t.data.stopped_id not in retracted]
    stops = [t.id for t in alive if t.type == "usage.stopped"]
    assert len(stops) == len(set(stops)), "a stop was told twice"
    return {(t.type, t.id) for t in alive}


def drawn_product(random: Random, zone: str) -> ProductSection:
    again = random.choice(([], [2], [3, 7]))
    return section(
        {
            "stop": {"kind": "absence", "min_streak": random.choice((1, 2, 3)), "again_after_days": again},
            "habit": {"kind": "streak", "days": random.randint(2, 9)},
            "weeks": {"kind": "streak", "days": random.randint(2, 14), "counting": "calendar_days"},
        },
        time_zone=zone,
        day_starts_at=random.choice(DAY_STARTS),
        calendar={
            "learn_closed_weekdays": False,
            "closed_weekdays": random.choice(([], ["mon"], ["sat", "sun"])),
            "holidays": random.choice(("", "JP", "DE", "US")),
        },
    )


@pytest.mark.parametrize("part", range(4))
def test_any_order_of_arrival_ends_in_the_same_standing_triggers(part: int) -> None:
    for seed in seeds(240, share=0.5)[part::4]:
        random = Random(f"order {seed}")
        zone, dates = random.choice(ZONES)
        start_us = Story().us(f"{random.choice(dates)} 00:00") - random.randint(0, DAYS) * DAY_US
        product = drawn_product(random, zone)
        uses = drawn_uses(random, start_us)
        end_us = start_us + (DAYS + 3) * DAY_US
        assert product.late_window >= timedelta(days=DAYS + 4)
        expected = standing(read_in_order(uses, end_us), product)
        assert standing(read_in_any_order(random, uses, end_us), product) == expected, f"seed {seed}"
