"""Rules and product defaults as the core reads them: configuration compiled into frozen values."""

import json
from collections.abc import Iterable
from datetime import date, time, timedelta
from fractions import Fraction
from functools import lru_cache
from zlib import crc32

import msgspec

from services.evaluator.core.filters import EVERY_EVENT, filter_of
from shared.config import (
    AbsenceRuleSection,
    CountRuleSection,
    DeclineRuleSection,
    ProductSection,
    RuleSection,
    StreakRuleSection,
)
from shared.events import Profile


class Settings(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False, cache_hash=True):
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


class CountRule(msgspec.Struct, frozen=True, kw_only=True, tag="count"):
    """Reached by so many events (or active days) in the first `within_days` usage days; else missed."""

    name: str
    filter: str
    emit: str
    at_least: int
    within_days: int
    by_contract: bool  # from the contract's first day; else from the customer's first active day
    of_days: bool
    grace_us: int


class DeclineRule(msgspec.Struct, frozen=True, kw_only=True, tag="decline"):
    """Told when the active ones of the last `recent_days` are no more than `kept` of the mean before them."""

    name: str
    filter: str
    emit: str
    recent_days: int
    baseline_days: int
    kept: tuple[int, int]  # a fraction, exact: 1 less the drop
    grace_us: int


Rule = StreakRule | AbsenceRule | NeverStartedRule | CountRule | DeclineRule


class Product(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One product: defaults of its customers and its rules; `filters` are what its bitmaps are kept for."""

    id: str
    defaults: Settings
    late_window_us: int
    rules: tuple[Rule, ...]
    filters: tuple[str, ...]
    key: str  # changes whenever anything above does
    source: str = "{}"  # the rules as they stand in the file, as JSON


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
    return msgspec.structs.replace(
        product,
        key=f"{crc32(msgspec.msgpack.encode(product)):08x}",
        source=json.dumps(
            {name: rule.model_dump(mode="json", exclude_unset=True) for name, rule in section.rules.items()},
            ensure_ascii=False,
        ),
    )


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


@lru_cache(1024)
def rule_keys(rules: tuple[Rule, ...]) -> tuple[int, ...]:
    """What a customer's state remembers of the rules by which it was last asked: 32 bits a fact, for there is
    one for every customer."""
    facts = (fact(rule) for rule in rules for fact in (key_of_rule, key_of_look, key_of_filter))
    return tuple(sorted(set(facts)))


@lru_cache(1024)
def key_of_rule(rule: Rule) -> int:
    """Another number for another rule, be it of the same name."""
    return crc32(msgspec.msgpack.encode(rule))


def key_of_look(rule: Rule) -> int:
    """Another number where the rule of that name looks at other events."""
    return crc32(f"{rule.name}\x1f{rule.filter}".encode())


def key_of_filter(rule: Rule) -> int:
    """One number for all rules that look at the same events."""
    return crc32(rule.filter.encode())


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
            filter=filter_of(section.when),
            emit=section.emit,
            days=section.days,
            by_calendar=section.counting == "calendar_days",
            repeat=section.repeat,
        )
    if isinstance(section, CountRuleSection):
        return CountRule(
            name=name,
            filter=filter_of(section.when),
            emit=section.emit,
            at_least=section.at_least,
            within_days=section.within_days,
            by_contract=section.anchor == "contract_started_on",
            of_days=section.counting == "active_days",
            grace_us=_microseconds(section.grace),
        )
    if isinstance(section, DeclineRuleSection):
        return DeclineRule(
            name=name,
            filter=filter_of(section.when),
            emit=section.emit,
            recent_days=section.recent_days,
            baseline_days=section.baseline_days,
            kept=(1 - Fraction(str(section.drop))).as_integer_ratio(),
            grace_us=_microseconds(section.grace),
        )
    return _compile_absence(name, section)


def _compile_absence(name: str, section: AbsenceRuleSection) -> AbsenceRule | NeverStartedRule:
    cutoff = None if section.cutoff is None else minutes(section.cutoff)
    grace_us = _microseconds(section.grace)
    if section.within_days is not None:
        return NeverStartedRule(
            name=name,
            filter=filter_of(section.when),
            emit=section.emit,
            cutoff=cutoff,
            grace_us=grace_us,
            within_days=section.within_days,
        )
    return AbsenceRule(
        name=name,
        filter=filter_of(section.when),
        emit=section.emit,
        cutoff=cutoff,
        grace_us=grace_us,
        min_streak=section.min_streak,
        from_history=section.expect == "history",
        min_surprise=section.min_surprise,
        again=tuple(sorted(set(section.again_after_days))),
    )


def _minutes_of(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:5])


def _ordinals(ranges: Iterable[tuple[date, date]]) -> tuple[tuple[int, int], ...]:
    return tuple((first.toordinal(), last.toordinal()) for first, last in ranges)


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
