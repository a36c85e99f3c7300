"""Uses gathered by customer as they are read from a file: of each as much as the rules look at."""

from collections import defaultdict
from collections.abc import Mapping

from services.commands.usage_rows import Use, UseColumns
from services.evaluator.replay import DatedUse, Uses


class Gathering:
    """Takes what is read, part by part; where a use's day says enough, keeps a number of it and no more."""

    def __init__(self, *, is_day_enough: bool) -> None:
        self.count = 0
        self._is_day_enough = is_day_enough
        self._dated: defaultdict[str, list[DatedUse]] = defaultdict(list)
        # Of every customer, in the order of the file.
        self._days: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))

    def add(self, part: UseColumns | Use) -> None:
        if isinstance(part, Use):
            self._add(part)
        elif self._is_day_enough:
            self._add_columns(part)
        else:
            for use in part.each():
                self._add(use)

    def uses(self) -> Mapping[str, Uses]:
        """All of it, customers in the order in which they came."""
        return {id: Uses(dated=self._dated.get(id, ()), days=days) for id, days in self._days.items()}

    def _add(self, use: Use) -> None:
        self.count += 1
        days = self._days[use.customer_id]
        if self._is_day_enough and use.occurred_on is not None:
            days[use.event].append(use.occurred_on)
        else:
            self._dated[use.customer_id].append(_dated(use))

    def _add_columns(self, columns: UseColumns) -> None:
        known = columns.days()
        if known is None:
            for use in columns.each():
                self._add(use)
            return
        self.count += len(known)
        days = self._days
        for customer_id, event, day in zip(columns.customer_ids, columns.events, known, strict=True):
            days[customer_id][event].append(day)


def _dated(use: Use) -> DatedUse:
    return DatedUse(
        use.occurred_us, use.occurred_on or 0, use.event, use.event_id, use.user_id, use.properties
    )
