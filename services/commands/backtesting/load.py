"""How many calls each CSM gets on a day, against what they can make, and on which kinds of days. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from services.evaluator.core.expected import breaks_of_custom, public_holidays
from shared.config import CsmSection

if TYPE_CHECKING:
    from services.commands.calls import Call

NOBODY: Final = "(no CSM named)"
HOLIDAY: Final = "public holiday"
AROUND: Final = "day before or after one"
BREAK: Final = "customary break"
ORDINARY: Final = "any other day"
KINDS: Final = (HOLIDAY, AROUND, BREAK, ORDINARY)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one owner, None where no CSM was named, by the day on which they go out.

    `name`: as people know the owner. `daily_max`: so many calls a day the owner makes, None: not told.
    `over_days`: on so many days there were more, by `over_count` calls together.
    """

    owner: str | None
    name: str
    by_day: Mapping[date, int]
    daily_max: int | None

    @property
    def call_count(self) -> int:
        return sum(self.by_day.values())

    @property
    def median_count(self) -> float:
        """Half of the days with any call have so many or fewer."""
        return median(self.by_day.values())

    @property
    def busiest(self) -> tuple[date, int]:
        return min(self.by_day.items(), key=lambda item: (-item[1], item[0]))

    @property
    def over_days(self) -> int:
        return sum(count > self.daily_max for count in self.by_day.values()) if self.daily_max else 0

    @property
    def over_count(self) -> int:
        if not self.daily_max:
            return 0
        return sum(max(0, count - self.daily_max) for count in self.by_day.values())


class DayKind(msgspec.Struct, frozen=True, kw_only=True):
    """Calls about missed days of one kind, and which share of all days, over all customers, is of it."""

    name: str
    call_count: int
    share_of_days: float


def loads(calls: Iterable["Call"], csms: Mapping[str, CsmSection]) -> list[Load]:
    """One for each owner, the one with the most calls first."""
    days: defaultdict[str | None, Counter[date]] = defaultdict(Counter)
    for call in calls:
        days[call.owner][call.given_on] += 1
    found = [_load(owner, by_day, csms.get(owner or "")) for owner, by_day in days.items()]
    return sorted(found, key=lambda load: (-load.call_count, load.owner or ""))


def _load(owner: str | None, by_day: Mapping[date, int], csm: CsmSection | None) -> Load:
    name = NOBODY if owner is None else f"{csm.name} ({owner})" if csm else owner
    return Load(owner=owner, name=name, by_day=by_day, daily_max=csm.calls_per_day_max if csm else None)


def day_kinds(
    calls: Iterable["Call"], countries: Mapping[str, str], first_on: date, last_on: date
) -> list[DayKind]:
    """Calls by the kind of the missed day; `countries` names each customer's, "" where none is known."""
    called = Counter(
        kind_of(countries[call.trigger.data.customer.id], call.trigger.data.day.toordinal()) for call in calls
    )
    spans = range(first_on.toordinal(), last_on.toordinal() + 1)
    lived: Counter[str] = Counter()
    for country, customer_count in Counter(countries.values()).items():
        for day in spans:
            lived[kind_of(country, day)] += customer_count
    return [
        DayKind(name=kind, call_count=called[kind], share_of_days=lived[kind] / lived.total())
        for kind in KINDS
        if lived[kind]
    ]


def kind_of(country: str, day: int) -> str:
    """Of a day, given by its ordinal, in a country; the strongest kind that holds."""
    if public_holidays(country, day, 1):
        return HOLIDAY
    if breaks_of_custom(country, day, 1):
        return BREAK
    return AROUND if public_holidays(country, day - 1, 3) else ORDINARY
