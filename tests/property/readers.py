"""The two readers of a story: the oracle, and the engine as the worker drives it."""

from collections.abc import Callable

from shared.config import ProductSection
from shared.triggers import Trigger
from tests.histories import CUSTOMER, PRODUCT, Story
from tests.oracle.fold import Oracle
from tests.property.driver import Driver

Reader = Callable[[Story, ProductSection], list[Trigger]]


def by_oracle(story: Story, product: ProductSection) -> list[Trigger]:
    oracle = Oracle(product_id=PRODUCT, customer_id=CUSTOMER, section=product)
    return [trigger for entry in story.entries for trigger in oracle.read(entry)]


def by_engine(story: Story, product: ProductSection) -> list[Trigger]:
    """Asked at every tick, so that not `due_us` but the settling itself must know what is due."""
    driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=product, settles_always=True)
    return [trigger for entry in story.entries for trigger in driver.read(entry)]


READERS = {"oracle": by_oracle, "engine": by_engine}


def told(triggers: list[Trigger]) -> list[tuple[str, str]]:
    """Type and day of each trigger."""
    return [(trigger.type, trigger.data.day.isoformat()) for trigger in triggers]
