"""What the core reads from a customer's own past, asked with a bitmap built from the oracle's set of days."""

from collections.abc import Collection, Sequence

from services.evaluator.core.closings import learned_closed
from services.evaluator.core.expectation import combine
from services.evaluator.core.past import Past
from services.evaluator.core.rules import Settings
from services.evaluator.core.state import Segment
from tests.oracle.customer import MissedDay, Weighed

WEEK = range(7)


class FromHistory:
    """The real judgement: its tuning is no business of the oracle's, only where and when it is asked."""

    def learned(self, active: Collection[int], day: int) -> frozenset[int]:
        if not active:
            return frozenset()
        mask = learned_closed(bitmap(active), min(active), day)
        return frozenset(weekday for weekday in WEEK if mask >> weekday & 1)

    def weigh(self, active: Collection[int], missed: Sequence[MissedDay]) -> Weighed:
        of_days = [self._past(active, missed_day).expectation(missed_day.day) for missed_day in missed]
        return Weighed(
            surprise=combine([of_day.surprise for of_day in of_days]),
            enough=of_days[-1].enough,
            reasons=of_days[-1].reasons,
        )

    def _past(self, active: Collection[int], missed: MissedDay) -> Past:
        settings = Settings(zone=missed.zone, day_starts=0, holidays=missed.holidays)
        return Past(min(active), bitmap(active), (Segment(None, settings),), (), frozenset())


def bitmap(active: Collection[int]) -> int:
    """Bit 0 is the first active day."""
    return sum(1 << (day - min(active)) for day in active)
