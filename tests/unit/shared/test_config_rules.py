"""Rules that could never fire are refused, each with its line and what to do."""

import pytest

from shared.config_file import parse_config
from shared.errors import ConfigError

FILE = """\
products:
  reserve:
    rules:
      habit: {kind: count, counting: active_days, at_least: 20, within_days: 28}
      scouts: {kind: count, at_least: 9, within_days: 31, anchor: contract_started_on}
      fading: {kind: decline, recent_days: 7, baseline_days: 28, drop: 0.5}
      paid: {kind: absence, when: {event: "order.*", where: {amount: {at_least: 3}, plan: [gold]}}}
    calendar: {closed_weekdays: [mon]}
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, name="c.yaml", environ={})
    return refused.value.problems


def test_the_file_itself_is_fine() -> None:
    rules = parse_config(FILE, name="c.yaml", environ={}).products["reserve"].rules
    assert [rule.kind for rule in rules.values()] == ["count", "count", "decline", "absence"]


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        (
            "at_least: 20",
            "at_least: 30",
            "c.yaml:4: products.reserve.rules.habit: 30 active days never fit into 28: "
            "lower at_least, or raise within_days",
        ),
        (
            "at_least: 9",
            "at_least: 1001",
            "c.yaml:5: products.reserve.rules.scouts.at_least: should be less than or equal to 1000",
        ),
        (
            "anchor: contract_started_on",
            "anchor: renewal_on",
            "c.yaml:5: products.reserve.rules.scouts.anchor: 'renewal_on' is not one of "
            "'contract_started_on' or 'first_active_on'",
        ),
        (
            "baseline_days: 28",
            "baseline_days: 5",
            "c.yaml:6: products.reserve.rules.fading: a mean over 5 days says little about 7: "
            "baseline_days is at least recent_days",
        ),
        (
            "{at_least: 3}",
            "{more_than: 3}",
            "c.yaml:7: products.reserve.rules.paid.when.where: amount: 'more_than' is none of "
            "at_least below not",
        ),
        (
            "{at_least: 3}",
            "{at_least: 3, below: 2}",
            "c.yaml:7: products.reserve.rules.paid.when.where: amount: nothing is at least 3 and below 2; "
            "this could never hold",
        ),
        (
            "plan: [gold]",
            "plan: []",
            "c.yaml:7: products.reserve.rules.paid.when.where: plan: an empty list names nothing, "
            "so this could never hold",
        ),
        (
            '"order.*"',
            "[]",
            "c.yaml:7: products.reserve.rules.paid.when.event: no event has that name: write a name such as "
            '"reservation.*", or leave it out',
        ),
        (
            "[mon]",
            "[mon, tue, wed, thu, fri, sat, sun]",
            "c.yaml:8: products.reserve.calendar.closed_weekdays: every weekday is closed, so no day is ever "
            "expected: leave one out",
        ),
    ],
)
def test_what_could_never_fire_is_refused(written: str, instead: str, said: str) -> None:
    assert FILE.count(written) == 1
    assert problems(FILE.replace(written, instead)) == (said,)
