"""Writes docs/metrics.md (`make generated`): the list of metrics, from `shared/metrics.py`."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from shared import metrics

Metric = Counter | Gauge | Histogram

HEAD = """# Metrics

Every service shows at `/metrics` those that it has to do with, next to Prometheus' own `process_*`. There
are no others, and no label ever holds a customer: the number of series is bounded by products, routes,
channels and partitions. What to alarm on stands in [rules.yaml](../deploy/prometheus/rules.yaml), a picture
of all of them in [the dashboard](../deploy/grafana/dashboards/usage-triggers.json).

| metric | kind | labels | |
| --- | --- | --- | --- |
"""


def declared() -> list[Metric]:
    """Every metric of ours, in the order in which it is declared."""
    return [value for value in vars(metrics).values() if isinstance(value, Metric)]


def name_of(metric: Metric) -> str:
    """As Prometheus shows it: counters end in `_total`."""
    family = next(iter(metric.collect()))
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


def series_names() -> Iterator[str]:
    """Every name that a query may use."""
    for metric in declared():
        name = name_of(metric)
        yield from (
            [f"{name}_{part}" for part in ("bucket", "count", "sum")]
            if isinstance(metric, Histogram)
            else [name]
        )


def page() -> str:
    rows = []
    for metric in declared():
        family = next(iter(metric.collect()))
        labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"
        rows.append(f"| `{name_of(metric)}` | {family.type} | {labels} | {family.documentation} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(page(), end="")
