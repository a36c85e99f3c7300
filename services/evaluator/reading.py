"""What the HTTP API tells of a customer: its days, streaks, counts, settings; pure, nothing is changed."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from services.evaluator.changes import SeenRules
from services.evaluator.core import counts, days
from services.evaluator.core.calendar import day_of
from services.evaluator.core.filters import EVERY_EVENT
from services.evaluator.core.past import NO_STREAK, Past, Streak, past_of
from services.evaluator.core.rules import CountRule, Product, StreakRule
from services.evaluator.core.state import CountState, CustomerState, segment_at
from services.evaluator.core.wording import streak_facts
from shared.clock import rfc3339


def today(state: CustomerState, now_us: int) -> int:
    """The customer's current usage day."""
    settings = segment_at(state, now_us).settings
    return day_of(settings.zone, settings.day_starts, now_us)


def days_between(
    state: CustomerState, *, first: int, last: int, excused: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """`{"day", "active", "expected"}` for each usage day first..last, by any event."""
    past = past_of(state, EVERY_EVENT, excused)
    return [
        {
            "day": date.fromordinal(day).isoformat(),
            "active": past.is_active(day),
            "expected": past.is_expected(day) or past.is_active(day),
        }
        for day in range(first, last + 1)
    ]


def streaks(
    state: CustomerState, product: Product, *, today: int, excused: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """The present streak of every streak rule; today is not over, so it breaks none."""
    return [
        {"rule": rule.name, **_as_dict(current_streak(past_of(state, rule.filter, excused), today))}
        for rule in product.rules
        if isinstance(rule, StreakRule)
    ]


def open_counts(
    state: CustomerState, product: Product, *, excused: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """How far each count rule is whose window is open: neither told nor over, and its first day known."""
    return [
        {
            "rule": rule.name,
            "count": counts.count(rule, kept, past_of(state, rule.filter, excused)),
            "at_least": rule.at_least,
            "last_day": date.fromordinal(counts.last_day(rule, kept)),
        }
        for rule in product.rules
        if isinstance(rule, CountRule)
        and isinstance(kept := state.rules.get(rule.name), CountState)
        and kept.stage == "waiting"
        and kept.anchor_on is not None
    ]


def current_streak(past: Past, today: int) -> Streak:
    """The streak that reaches up to today or yesterday, an expected day missed in between ends it."""
    last = days.highest_below(past.active, today + 1 - past.base)
    if last is None:
        return NO_STREAK
    last_on = past.base + last
    if any(past.is_expected(day) for day in range(last_on + 1, today)):
        return NO_STREAK
    return past.streak_ending(last_on, max(last_on, today))


def rule_history(seen: Sequence[SeenRules]) -> list[dict[str, Any]]:
    """Each set of rules, the newest first, with what it changed against the one before it."""
    parsed = [json.loads(each.rules) for each in seen]
    return [
        {
            "key": each.key,
            "first_adopted_at": rfc3339(each.first_us),
            "last_adopted_at": rfc3339(each.last_us),
            "rules": rules,
            "changed": _changed(before, rules),
        }
        for each, rules, before in zip(seen, parsed, [*parsed[1:], {}], strict=True)
    ]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "edited": [name for name in after if name in before and before[name] != after[name]],
    }


def profile_view(state: CustomerState) -> dict[str, Any]:
    """The profile as told, as JSON-ready values, with the time zone in force."""
    view: dict[str, Any] = msgspec.to_builtins(state.profile)
    view["time_zone"] = state.segments[-1].settings.zone
    return view


def _as_dict(streak: Streak) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(streak_facts(streak))
    return facts
