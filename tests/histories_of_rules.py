"""Drawn histories of products that count and compare, ask for properties, and edit their rules under way."""

from datetime import date
from typing import Any

import msgspec

from shared.config import ProductSection
from shared.events import Event
from tests.histories import EVENTS, HOUR_US, WHENS, Drawing, History, section

WHERES: tuple[dict[str, Any], ...] = (
    {"plan": "gold"},
    {"seats": {"at_least": 3}},
    {"seats": {"below": 3, "at_least": 1}},
    {"plan": {"not": ["gold", "free"]}},
    {"paid": True, "plan": ["free", "gold"]},
)
FACTS: tuple[dict[str, Any], ...] = (
    {},
    {"plan": "gold", "seats": 2, "paid": True},
    {"plan": "gold", "seats": "4", "paid": "true"},
    {"plan": "free", "seats": 3.0, "paid": False},
    {"plan": "team", "seats": None},
    {"plan": ["gold"], "seats": {"of": 3}, "paid": 1},
)
EMITS = ("told.one", "told.two")


def counting(seed: int) -> History:
    """A history under rules that count and compare, with and without properties asked for."""
    return _Counting(seed).history()


def edited(seed: int) -> History:
    """A history of any rules, one or more of which are edited at some moment."""
    return _Editing(seed).history()


class _Counting(Drawing):
    def __init__(self, seed: int) -> None:
        self.raw: dict[str, dict[str, Any]] = {}
        super().__init__(seed)

    def _event(self, us: int, read_us: int, *, backfill: bool, on: date | None = None) -> Event:
        event = super()._event(us, read_us, backfill=backfill, on=on)
        return msgspec.structs.replace(event, properties=self.random.choice(FACTS))

    def _rule(self, i: int) -> tuple[str, dict[str, Any]]:
        kind = self.random.random()
        name, rule = super()._rule(i) if kind < 0.2 else (f"new-{i}", self._new_rule(kind))
        if self.chance(0.3):
            rule["when"] = self._when()
        self.raw[name] = rule
        return name, rule

    def _when(self) -> dict[str, Any]:
        when = {"event": self.random.choice(WHENS)}
        return {**when, "where": self.random.choice(WHERES)} if self.chance(0.5) else when

    def _new_rule(self, kind: float) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "when": {"event": self.random.choice(("*", *WHENS, *EVENTS))},
            "grace": self.random.choice(("15m", "0s", "3h", "2d")),
        }
        if kind < 0.65:
            within = self.random.randint(1, 15)
            counting = self.random.choice(("events", "events", "active_days"))
            return {
                **rule,
                "kind": "count",
                "at_least": self.random.randint(1, min(within, 6) if counting == "active_days" else 9),
                "within_days": within,
                "anchor": self.random.choice(("contract_started_on", "first_active_on")),
                "counting": counting,
            }
        recent = self.random.randint(2, 5)
        return {
            **rule,
            "kind": "decline",
            "recent_days": recent,
            "baseline_days": self.random.randint(recent, 9),
            "drop": self.random.choice((0.1, 0.3, 0.5, 0.5, 1.0)),
        }


class _Editing(_Counting):
    def history(self) -> History:
        for _ in range(self.random.choice((1, 1, 2))):
            self._edit()
        return super().history()

    def _edit(self) -> None:
        """The product had these rules, and has others from some moment on."""
        later = self.section
        for name in self.random.sample(list(self.raw), self.random.randint(1, len(self.raw))):
            self.raw[name] = self._edited(self.raw[name])
        us = self._at() + self.random.choice((0, HOUR_US))
        self.add(us, later)
        self.section = self._with_rules(later)

    def _with_rules(self, product: ProductSection) -> ProductSection:
        return product.model_copy(update={"rules": section(self.raw).rules})

    def _edited(self, rule: dict[str, Any]) -> dict[str, Any]:
        """The same kind of rule, drawn anew in some of its parts."""
        fresh = self._rule_like(rule)
        kept = [key for key in rule if key not in ("kind", "when") and self.chance(0.5)]
        mixed = {**fresh, **{key: rule[key] for key in kept}}
        if self.chance(0.7):
            mixed["when"] = rule["when"]
        if self.chance(0.3):
            mixed["emit"] = self.random.choice(EMITS)
        return mixed if _is_valid(mixed) else {**fresh, "when": mixed["when"]}

    def _rule_like(self, rule: dict[str, Any]) -> dict[str, Any]:
        raw = dict(self.raw)
        while True:
            _, drawn = self._rule(0)
            if drawn["kind"] == rule["kind"] and ("anchor" in drawn) == ("anchor" in rule):
                self.raw = raw
                return drawn


def _is_valid(rule: dict[str, Any]) -> bool:
    if rule["kind"] == "count" and rule["counting"] == "active_days":
        return bool(rule["at_least"] <= rule["within_days"])
    return rule["kind"] != "decline" or rule["recent_days"] <= rule["baseline_days"]
