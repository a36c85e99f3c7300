"""When another event of a customer changes nothing, so that a busy day costs a look-up an event.

Once an event is folded, another one of the same name on the same usage day changes nothing: the day is active
already, and stays so. Where more than the day counts (properties, the event itself, its hour on a day that
was missed) nothing is quiet. An event also settles the days that have passed, so it is quiet up to the
watermark at which there are some. What depends on the moment of reading (too old, too early) is asked each
time.
"""

from functools import lru_cache

import msgspec

from services.evaluator.core import kinds
from services.evaluator.core.calendar import day_of, plain_day
from services.evaluator.core.filters import named_filters
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState
from services.evaluator.core.stops import NEVER
from shared.events import FUTURE_TOLERANCE_US, Event

NAMES_MAX = 32


class Quiet(msgspec.Struct, frozen=True, gc=False):
    """From (included), until (excluded): events of these names change nothing, as long as the watermark is
    not beyond `settled_until_us` and they are no later than `late_window_us`."""

    from_us: int
    until_us: int
    settled_until_us: int
    late_window_us: int
    names: frozenset[str]

    def covers(self, event: Event, watermark_us: int, appended_us: int) -> bool:
        """Whether `event` is one of those, and neither too late nor too early to be taken at all."""
        at_us = event.occurred_us
        return (
            at_us is not None
            and watermark_us <= self.settled_until_us
            and self.from_us <= at_us < self.until_us
            and event.event in self.names
            and not event.backfill
            and appended_us - self.late_window_us <= at_us <= appended_us + FUTURE_TOLERANCE_US
        )


@lru_cache(4096)
def _quiet(
    from_us: int, until_us: int, settled_until_us: int, late_window_us: int, names: frozenset[str]
) -> Quiet:
    """One value for all that are equal: the customers of a zone have the same day, and there are many."""
    return Quiet(from_us, until_us, settled_until_us, late_window_us, names)


def quiet_after(
    quiet: Quiet | None,
    state: CustomerState,
    event: Event,
    product: Product,
    excused: frozenset[int],
    *,
    is_plain: bool = False,
) -> Quiet | None:
    """What is known once `event` is folded and has left `state`; `quiet`: what was known of that before.

    `is_plain`: it went the short way (`plain`), so that no rule awaits more of its day, and the next to be
    settled is what the customer is due for.
    """
    us, name = event.occurred_us, event.event
    if us is None:
        return quiet
    settings = state.segments[-1].settings
    day = day_of(settings.zone, settings.day_starts, us)
    is_told = _is_day_told(state, name, day, product, is_plain=is_plain)
    if quiet is not None and quiet.from_us <= us < quiet.until_us:
        if not is_told:
            return quiet
        names = quiet.names | {name} if len(quiet.names) < NAMES_MAX else frozenset((name,))
        return _quiet(quiet.from_us, quiet.until_us, quiet.settled_until_us, quiet.late_window_us, names)
    if not is_told or len(state.segments) != 1:
        return None
    opens_us, closes_us = plain_day(settings.zone, settings.day_starts, day) or _NO_DAY
    if not opens_us <= us < closes_us:
        return None
    if is_plain:
        until_us = NEVER if state.due_us is None else state.due_us
    else:
        until_us = kinds.settled_until_us(state, product, excused)
    return _quiet(opens_us, closes_us, until_us, product.late_window_us, frozenset((name,)))


_NO_DAY = (0, 0)


def _is_day_told(state: CustomerState, name: str, day: int, product: Product, *, is_plain: bool) -> bool:
    """Whether no event of that name, whatever its properties, its id and its hour, can say more of its day.

    It can where a filter asks for properties that no event of the day has had, where the day was missed (an
    event from before its cutoff takes the stop back), and where events are counted.
    """
    bit = day - state.base
    named, asking = named_filters(product.filters, name)
    if asking and any(bit < 0 or not state.active.get(key, 0) >> bit & 1 for key in asking):
        return False
    for rule in () if is_plain else product.rules:
        if rule.filter in named and kinds.awaits(rule, state.rules.get(rule.name), bit):
            return False
    return True
