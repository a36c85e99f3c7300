"""Every metric of the project, once: the closed list that dashboards and alert rules are written from.

A metric that is not declared here does not exist. Units come last in names, as Prometheus has it.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)

REQUEST_SECONDS = Histogram(
    "usage_triggers_http_request_seconds",
    "Time from the request's head to the last byte of its answer.",
    ("method", "route", "status"),
    buckets=_FAST,
    registry=REGISTRY,
)

EVENTS_ACCEPTED = Counter(
    "usage_triggers_events_accepted",
    "Events that the log acknowledged.",
    ("product", "dialect"),
    registry=REGISTRY,
)
EVENTS_REJECTED = Counter(
    "usage_triggers_events_rejected",
    "Events refused, by the code that the sender was told.",
    ("product", "reason"),
    registry=REGISTRY,
)
PROFILES_ACCEPTED = Counter(
    "usage_triggers_profiles_accepted",
    "Customer profiles that the log acknowledged.",
    ("product",),
    registry=REGISTRY,
)

RECORDS_READ = Counter(
    "usage_triggers_records_read",
    "Records folded and committed.",
    ("reader",),
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "usage_triggers_lag_records",
    "Records in the log that this reader has not committed yet.",
    ("reader", "partition"),
    registry=REGISTRY,
)
WATERMARK_DELAY_SECONDS = Gauge(
    "usage_triggers_watermark_delay_seconds",
    "How far a partition's watermark is behind the clock.",
    ("partition",),
    registry=REGISTRY,
)
CLOCK_SKEW_SECONDS = Gauge(
    "usage_triggers_clock_skew_seconds",
    "How far the clock of a partition's last tick was ahead of the log's.",
    ("partition",),
    registry=REGISTRY,
)
PARTITIONS_STOPPED = Gauge(
    "usage_triggers_partitions_stopped",
    "Partitions of this process that are not read until somebody has looked.",
    registry=REGISTRY,
)
LAST_DECISION_SECONDS = Gauge(
    "usage_triggers_last_decision_timestamp_seconds",
    "Unix time at which an evaluator last committed a batch.",
    registry=REGISTRY,
)
FIRST_ACTIVE_DAYS = Counter(
    "usage_triggers_first_active_days",
    "Customer days seen active for the first time.",
    ("product",),
    registry=REGISTRY,
)
TRIGGERS_EMITTED = Counter(
    "usage_triggers_triggers_emitted",
    "Triggers decided, by type.",
    ("product", "type"),
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "usage_triggers_dead_letters",
    "Records put aside while reading, by reason.",
    ("reason",),
    registry=REGISTRY,
)

STOPS_HELD = Gauge(
    "usage_triggers_stops_held",
    "Calls that the outage guard holds now.",
    ("product",),
    registry=REGISTRY,
)
TASKS_OPEN = Gauge(
    "usage_triggers_tasks_open",
    "Tasks not yet done, by state.",
    ("product", "state"),
    registry=REGISTRY,
)
OLDEST_TASK_SECONDS = Gauge(
    "usage_triggers_oldest_open_task_seconds",
    "Age of the oldest task that nobody has acknowledged.",
    ("product",),
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "usage_triggers_deliveries",
    "Delivery attempts by result: delivered, retry, dead, disabled, unwanted.",
    ("channel", "result"),
    registry=REGISTRY,
)
CHANNEL_DISABLED = Gauge(
    "usage_triggers_channel_disabled",
    "1: the channel takes nothing until somebody enables it again.",
    ("channel",),
    registry=REGISTRY,
)
CHANNEL_FAILING = Gauge(
    "usage_triggers_channel_failing",
    "1: so many attempts in a row failed that the channel is only probed now and then.",
    ("channel",),
    registry=REGISTRY,
)
STOP_TO_DELIVERED_SECONDS = Histogram(
    "usage_triggers_stop_to_delivered_seconds",
    "From the decision of a stop to the first delivery that succeeded.",
    buckets=_SLOW,
    registry=REGISTRY,
)


def forget_partition(reader: str, partition: int) -> None:
    """Shows nothing more of a partition that this process has given away: what it knew last would stay."""
    LAG_RECORDS.remove(reader, partition)
    if reader == "evaluator":
        WATERMARK_DELAY_SECONDS.remove(partition)
        CLOCK_SKEW_SECONDS.remove(partition)
