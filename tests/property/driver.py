"""Feeds a log of one customer to the engine as the worker does: fold each message, settle on each tick."""

from dataclasses import dataclass, field

from services.evaluator import engine
from services.evaluator.core import rules
from services.evaluator.core.state import CustomerState, decode_state, encode_state
from shared.config import ProductSection
from shared.events import CustomerErased, DayExcused, Tick
from shared.triggers import Trigger
from tests.histories import CUSTOMER, PRODUCT, History
from tests.oracle.log import Entry


@dataclass(kw_only=True)
class Driver:
    """The engine over one customer; the state goes through its bytes at every step, as in the store."""

    product_id: str
    customer_id: str
    section: ProductSection
    state: CustomerState | None = None
    watermark_us: int = 0
    excused: frozenset[int] = frozenset()
    rejected: list[tuple[str, str]] = field(default_factory=list)
    settles_always: bool = False
    is_erased: bool = False
    _is_new_rules: bool = False

    def __post_init__(self) -> None:
        self._product = rules.compile_product(self.product_id, self.section)

    def read(self, entry: Entry) -> list[Trigger]:
        """The triggers of the next entry, in order."""
        message = entry.message
        if isinstance(message, ProductSection):
            self._product = rules.compile_product(self.product_id, message)
            self._is_new_rules = True
            return []
        if isinstance(message, Tick):
            self.watermark_us = max(self.watermark_us, min(message.at_us, entry.appended_us))
            return self._settle(even_early=self.settles_always or self._is_new_rules)
        if isinstance(message, DayExcused):
            self.excused |= {message.day.toordinal()}
            return self._settle(even_early=True)
        self.is_erased |= isinstance(message, CustomerErased)
        outcome = engine.fold(
            self.state,
            message,
            product=self._product,
            appended_us=entry.appended_us,
            watermark_us=self.watermark_us,
            excused=self.excused,
        )
        if outcome.rejected is not None:
            self.rejected.append(outcome.rejected)
        return self._take(outcome)

    def _settle(self, *, even_early: bool) -> list[Trigger]:
        if self.state is None:
            return []
        due_us = self.state.due_us
        if not even_early and (due_us is None or self.watermark_us <= due_us):
            return []
        self._is_new_rules = False
        outcome = engine.settle(
            self.state,
            customer_id=self.customer_id,
            product=self._product,
            watermark_us=self.watermark_us,
            excused=self.excused,
        )
        return self._take(outcome)

    def _take(self, outcome: engine.Outcome) -> list[Trigger]:
        self.state = None if outcome.state is None else decode_state(encode_state(outcome.state))
        return list(outcome.triggers)


def told_of(history: History, *, settles_always: bool = False) -> list[Trigger]:
    """Everything that is told of a drawn history, in order."""
    driver = Driver(
        product_id=PRODUCT, customer_id=CUSTOMER, section=history.section, settles_always=settles_always
    )
    return [trigger for entry in history.log for trigger in driver.read(entry)]
