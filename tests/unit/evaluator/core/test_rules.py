"""Configuration compiled for the core."""

from datetime import date

from services.evaluator.core.filters import EVERY_EVENT, passed_filters
from services.evaluator.core.rules import compile_product, settings_of
from shared.config import Config
from shared.events import Calendar, Profile
from tests.unit.evaluator.pipeline import RULES, products_of
from tests.unit.evaluator.told import LITERAL, day, product


def test_rules_with_the_same_filter_share_one_set_of_days() -> None:
    compiled = product(
        rules={
            "a": {"kind": "streak", "days": 3, "when": {"event": ["b.*", "a.*"]}},
            "b": {**LITERAL, "when": {"event": ["a.*", "b.*"]}},
            "c": {**LITERAL},
        }
    )
    assert len(compiled.filters) == 2
    assert passed_filters(compiled.filters, "a.x", {}) == compiled.filters
    assert passed_filters(compiled.filters, "c.x", {}) == (EVERY_EVENT,)


def test_wildcards_are_anchored_at_both_ends() -> None:
    compiled = product(rules={"a": {**LITERAL, "when": {"event": "reservation.*"}}})
    own = compiled.filters[1]
    assert own in passed_filters(compiled.filters, "reservation.created", {})
    assert own not in passed_filters(compiled.filters, "my.reservation.created", {})


def test_a_customers_own_settings_override_the_products_key_by_key() -> None:
    compiled = product(
        zone="Asia/Tokyo",
        day_starts_at="05:00",
        calendar={"closed_weekdays": ["mon"], "holidays": "JP", "closures": [["2026-08-13", "2026-08-16"]]},
    )
    own = Profile(
        time_zone="Europe/Berlin",
        calendar=Calendar(holidays="DE", closures=((date(2026, 12, 24), date(2026, 12, 26)),)),
    )
    settings = settings_of(own, compiled)
    assert (settings.zone, settings.holidays) == ("Europe/Berlin", "DE")
    assert (settings.day_starts, settings.closed_weekdays) == (300, 0b1)
    assert settings.closures == (
        (day("2026-08-13"), day("2026-08-16")),
        (day("2026-12-24"), day("2026-12-26")),
    )


def test_an_empty_country_or_weekday_list_overrides_too() -> None:
    compiled = product(calendar={"closed_weekdays": ["mon"], "holidays": "JP"})
    settings = settings_of(Profile(calendar=Calendar(closed_weekdays=(), holidays="")), compiled)
    assert (settings.closed_weekdays, settings.holidays) == (0, "")


def test_the_key_changes_with_the_rules_and_only_with_them() -> None:
    assert product(rules={"a": LITERAL}).key == product(rules={"a": LITERAL}).key
    assert product(rules={"a": LITERAL}).key != product(rules={"a": {**LITERAL, "cutoff": "14:00"}}).key


def test_products_are_compiled_with_their_own_rules() -> None:
    config = Config.model_validate({"products": {"p": {"rules": RULES}}})
    assert compile_product("p", config.products["p"]) == products_of()["p"]
