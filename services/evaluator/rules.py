"""Rules and product defaults as the core reads them: configuration compiled into frozen values."""

import re
from collections.abc import Iterable
from datetime import date, time, timedelta
from functools import lru_cache
from zlib import crc32

import msgspec

from services.evaluator.calendar import MINUTE_US
from shared.config import AbsenceRuleSection, ProductSection, RuleSection, StreakRuleSection, When
from shared.events import Profile

EVERY_EVENT = "*"
_OR = "\x1f"


class Settings(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What decides a customer's usage days and which of them are expected."""

    zone: str
    day_starts: int  # minutes after local midnight
    closed_weekdays: int = 0  # bit 0 = Monday
    holidays: str = ""  # country, with subdivision where it has one
    closures: tuple[tuple[int, int], ...] = ()  # first and last day
    pause: tuple[int, int | None] | None = None
    learns: bool = True


class StreakRule(msgspec.Struct, frozen=True, kw_only=True, tag="streak"):
    """Reached when a streak has `days` active days, or spans as many calendar days."""

    name: str
    filter: str
    emit: str
    days: int
    by_calendar: bool
    repeat: bool


class AbsenceRule(msgspec.Struct, frozen=True, kw_only=True, tag="absence"):
    """Raises a stop when an expected day passes its cutoff without use."""

    name: str
    filter: str
    emit: str
    cutoff: int | None  # minutes after local midnight; None: the end of the usage day
    grace_us: int
    min_streak: int
    from_history: bool
    min_surprise: float | None
    again: tuple[int, ...]  # episode days of the reminders, rising


class NeverStartedRule(msgspec.Struct, frozen=True, kw_only=True, tag="never_started"):
    """Raises a stop when the first `within_days` usage days of a contract passed without use."""

    name: str
    filter: str
    emit: str
    cutoff: int | None
    grace_us: int
    within_days: int


Rule = StreakRule | AbsenceRule | NeverStartedRule


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product: defaults of its customers and its rules; `filters` are what its bitmaps are kept for."""

    id: str
    defaults: Settings
    late_window_us: int
    rules: tuple[Rule, ...]
    filters: tuple[str, ...]
    key: str  # changes whenever anything above does


def compile_product(product_id: str, section: ProductSection) -> Product:
    """The core's view of a product's part of the configuration."""
    rules = tuple(_compile_rule(name, rule) for name, rule in section.rules.items())
    calendar = section.calendar
    product = Product(
        id=product_id,
        defaults=Settings(
            zone=section.time_zone,
            day_starts=minutes(section.day_starts_at),
            closed_weekdays=weekday_mask(calendar.closed_weekdays),
            holidays=calendar.holidays,
            closures=_ordinals(calendar.closures),
            learns=calendar.learn_closed_weekdays,
        ),
        late_window_us=_microseconds(section.late_window),
        rules=rules,
        filters=(EVERY_EVENT, *sorted({rule.filter for rule in rules} - {EVERY_EVENT})),
        key="",
    )
    return msgspec.structs.replace(product, key=f"{crc32(msgspec.msgpack.encode(product)):08x}")


def settings_of(profile: Profile, product: Product) -> Settings:
    """A customer's settings: its own where told, else the product's; closures of both hold."""
    defaults, own = product.defaults, profile.calendar
    return Settings(
        zone=profile.time_zone or defaults.zone,
        day_starts=defaults.day_starts
        if profile.day_starts_at is None
        else _minutes_of(profile.day_starts_at),
        closed_weekdays=(
            defaults.closed_weekdays if own.closed_weekdays is None else weekday_mask(own.closed_weekdays)
        ),
        holidays=defaults.holidays if own.holidays is None else own.holidays,
        closures=tuple(sorted({*defaults.closures, *_ordinals(own.closures)})),
        pause=None
        if own.pause is None
        else (own.pause[0].toordinal(), own.pause[1].toordinal() if own.pause[1] else None),
        learns=defaults.learns if own.learn_closed_weekdays is None else own.learn_closed_weekdays,
    )


@lru_cache(65_536)
def matching_filters(filters: tuple[str, ...], event: str) -> tuple[str, ...]:
    """Which of a product's filters an event of this name passes."""
    return tuple(key for key in filters if key == EVERY_EVENT or _pattern(key).fullmatch(event))


def minutes(at: time) -> int:
    """Minutes after midnight."""
    return at.hour * 60 + at.minute


def weekday_mask(weekdays: Iterable[int]) -> int:
    """Bit 0 = Monday .. bit 6 = Sunday."""
    return sum(1 << weekday for weekday in set(weekdays))


def _compile_rule(name: str, section: RuleSection) -> Rule:
    if isinstance(section, StreakRuleSection):
        return StreakRule(
            name=name,
            filter=_filter(section.when),
            emit=section.emit,
            days=section.days,
            by_calendar=section.counting == "calendar_days",
            repeat=section.repeat,
        )
    return _compile_absence(name, section)


def _compile_absence(name: str, section: AbsenceRuleSection) -> AbsenceRule | NeverStartedRule:
    cutoff = None if section.cutoff is None else minutes(section.cutoff)
    grace_us = _microseconds(section.grace)
    if section.within_days is not None:
        return NeverStartedRule(
            name=name,
            filter=_filter(section.when),
            emit=section.emit,
            cutoff=cutoff,
            grace_us=grace_us,
            within_days=section.within_days,
        )
    return AbsenceRule(
        name=name,
        filter=_filter(section.when),
        emit=section.emit,
        cutoff=cutoff,
        grace_us=grace_us,
        min_streak=section.min_streak,
        from_history=section.expect == "history",
        min_surprise=section.min_surprise,
        again=tuple(sorted(set(section.again_after_days))),
    )


def _filter(when: When) -> str:
    """One name for each distinct `when`: its patterns, sorted, joined by an unprintable separator."""
    patterns = (when.event,) if isinstance(when.event, str) else when.event
    return EVERY_EVENT if EVERY_EVENT in patterns else _OR.join(sorted(set(patterns)))


@lru_cache(1024)
def _pattern(key: str) -> re.Pattern[str]:
    """Only `*` is a wildcard, for any run of characters."""
    patterns = (".*".join(re.escape(part) for part in name.split("*")) for name in key.split(_OR))
    return re.compile("|".join(patterns), re.DOTALL)


def _minutes_of(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:5])


def _ordinals(ranges: Iterable[tuple[date, date]]) -> tuple[tuple[int, int], ...]:
    return tuple((first.toordinal(), last.toordinal()) for first, last in ranges)


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(minutes=1) * MINUTE_US + (
        duration % timedelta(minutes=1) // timedelta(microseconds=1)
    )
