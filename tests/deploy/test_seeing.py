"""Metrics, alarms and dashboard speak of the same things, and each alarm goes off when it should."""

import json
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.deploy import metrics_page, operator_rules
from tests.deploy.tools import DEPLOY, ROOT, accepted, read, run

RULES = DEPLOY / "prometheus" / "rules.yaml"
CASES = ROOT / "tests" / "deploy" / "rules_test.yaml"
ALERTS = [rule["alert"] for group in read(RULES)["groups"] for rule in group["rules"]]
BOUNDED = {
    *("channel", "dialect", "method", "partition", "product", "reader"),
    *("reason", "result", "route", "state", "status", "type"),
}
NOT_OURS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def alert_expressions() -> Iterator[str]:
    return (rule["expr"] for group in read(RULES)["groups"] for rule in group["rules"])


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "usage-triggers.json").read_text())
    return (target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ()))


def names_in(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    return set(re.findall(r"\b(?:usage_triggers|process|go|python)_\w+|\bup\b", without_labels))


@pytest.mark.parametrize("expressions", [alert_expressions, dashboard_expressions])
def test_every_metric_that_is_asked_for_exists(expressions: object) -> None:
    assert callable(expressions)
    asked = set(chain.from_iterable(names_in(expression) for expression in expressions()))
    assert asked - NOT_OURS <= set(metrics_page.series_names())
    assert len(asked) > 10


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set(chain.from_iterable(names_in(expression) for expression in dashboard_expressions()))
    unseen = {
        metrics_page.name_of(metric)
        for metric in metrics_page.declared()
        if not any(name.startswith(metrics_page.name_of(metric)) for name in shown)
    }
    assert unseen == set()


def test_no_metric_has_a_label_that_could_name_a_customer() -> None:
    for metric in metrics_page.declared():
        assert set(metric._labelnames) <= BOUNDED, metrics_page.name_of(metric)


def test_the_page_of_metrics_is_the_list_itself() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page.page(), "run `make generated`"


def test_the_operator_is_given_the_same_rules() -> None:
    assert read(operator_rules.PLACE) == operator_rules.manifest(), "run `make generated`"


def test_each_alarm_goes_off_when_it_should_and_not_before() -> None:
    accepted(run("promtool", "test", "rules", CASES))


def test_each_alarm_is_shown_to_go_off() -> None:
    shown = {
        check["alertname"]
        for case in read(CASES)["tests"]
        for check in case["alert_rule_test"]
        if check["exp_alerts"]
    }
    assert shown == set(ALERTS)


def test_prometheus_reads_its_configuration() -> None:
    accepted(run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml"))


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alarm_says_what_to_do(alert: str) -> None:
    assert f"\n## {alert}\n" in (ROOT / "docs" / "alerts.md").read_text()
