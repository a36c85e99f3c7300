"""What one restaurant does on one day, the same whenever it is asked: pure, given the seed."""

import random
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from services.commands.demonstration.restaurants import Restaurant
from shared.clock import to_us

ZONE = "Asia/Tokyo"

_EVENTS = ("reservation.created", "reservation.created", "reservation.changed", "reservation.seated")
_NEW_YEAR = ((12, 30), (12, 31), (1, 1), (1, 2), (1, 3))
_CLOSED_DAY_VISIT_CHANCE = 0.02


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One event: what happened, and when in microseconds since the epoch."""

    customer_id: str
    event_id: str
    event: str
    occurred_us: int


def uses_on(restaurant: Restaurant, day: date, *, seed: int, is_holiday: bool = False) -> tuple[Use, ...]:
    """The uses of `restaurant` on the calendar day `day` in Tokyo, in order; none when it is shut."""
    chance = random.Random(f"{seed}/{restaurant.id}/{day.toordinal()}")
    if (is_holiday and restaurant.rests_on_holidays) or not _is_open(restaurant, day, chance):
        return ()
    first = restaurant.opens_at_minute + chance.randrange(0, 60)
    minutes = [
        first,
        *(chance.randrange(first, 22 * 60) for _ in range(_visit_count(restaurant, day, chance))),
    ]
    names = ["day.opened", *(chance.choice(_EVENTS) for _ in minutes[1:])]
    return tuple(
        Use(
            customer_id=restaurant.id,
            event_id=f"{restaurant.id}-{day.isoformat()}-{number}",
            event=name,
            occurred_us=_at(day, minute),
        )
        for number, (minute, name) in enumerate(sorted(zip(minutes, names, strict=True)))
    )


def _is_open(restaurant: Restaurant, day: date, chance: random.Random) -> bool:
    if day < restaurant.started_on or (day.month, day.day) in _NEW_YEAR:
        return False
    if any(first <= day <= last for first, last in restaurant.breaks):
        return False
    return day.weekday() not in restaurant.closed_weekdays or chance.random() < _CLOSED_DAY_VISIT_CHANCE


def _visit_count(restaurant: Restaurant, day: date, chance: random.Random) -> int:
    weekend = 1.5 if day.weekday() >= 4 else 1.0
    return int(restaurant.busy * weekend * chance.uniform(0.3, 1.7))


def _at(day: date, minute: int) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE))
    return to_us(midnight + timedelta(minutes=minute))
