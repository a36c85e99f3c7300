"""Runs a history through oracle and engine, finds the first entry at which they differ, and cuts it down."""

import msgspec

from shared.config import ProductSection
from shared.triggers import Trigger
from tests.histories import CUSTOMER, PRODUCT, History
from tests.oracle.customer import Judgement, Literal
from tests.oracle.fold import Oracle
from tests.oracle.log import Entry, Log
from tests.property.driver import Driver

Lines = list[str]


def plain(trigger: Trigger) -> Trigger:
    """Without what is read from the customer's own past, where the calendar alone decides."""
    if trigger.data.surprise is None:
        return trigger
    return msgspec.structs.replace(
        trigger, data=msgspec.structs.replace(trigger.data, surprise=None, reasons=())
    )


def first_difference(section: ProductSection, log: Log, judgement: Judgement | None = None) -> str | None:
    """What the two say of the first entry of which they do not say the same; None if there is none."""
    oracle = Oracle(
        product_id=PRODUCT, customer_id=CUSTOMER, section=section, judgement=judgement or Literal()
    )
    driver = Driver(product_id=PRODUCT, customer_id=CUSTOMER, section=section)
    for i, entry in enumerate(log):
        expected, found = oracle.read(entry), driver.read(entry)
        if judgement is None:
            found = [plain(trigger) for trigger in found]
        refused = [reason for reason, _ in driver.rejected]
        if expected != found or oracle.rejected != refused:
            return _report(i, entry, expected, found, oracle.rejected, refused)
    return None


def check(history: History, judgement: Judgement | None = None) -> None:
    """Fails with the seed and the smallest log found on which oracle and engine differ."""
    if first_difference(history.section, history.log, judgement) is None:
        return
    section, log = history.section, list(history.log)
    log = _cut_down(section, log, judgement)
    difference = first_difference(section, log, judgement)
    lines = [f"seed {history.seed}", str(section), *(str(entry) for entry in log), str(difference)]
    raise AssertionError("\n".join(lines))


def _cut_down(section: ProductSection, log: list[Entry], judgement: Judgement | None) -> list[Entry]:
    """Leaves out runs of entries, ever shorter ones, as long as a difference remains."""
    width = max(len(log) // 2, 1)
    while width >= 1:
        start = 0
        while start < len(log):
            shorter = log[:start] + log[start + width :]
            if first_difference(section, shorter, judgement) is not None:
                log = shorter
            else:
                start += width
        width //= 2
    return log


def _report(i: int, entry: Entry, expected: list[Trigger], found: list[Trigger], *refused: list[str]) -> str:
    lines = [f"entry {i}: {entry}"]
    lines += [f"  oracle {_line(trigger)}" for trigger in expected if trigger not in found]
    lines += [f"  engine {_line(trigger)}" for trigger in found if trigger not in expected]
    lines += [f"  both   {_line(trigger)}" for trigger in found if trigger in expected]
    return "\n".join([*lines, f"  refused: {refused[0][-1:]} and {refused[1][-1:]}"])


def _line(trigger: Trigger) -> str:
    return msgspec.json.encode(trigger).decode()
