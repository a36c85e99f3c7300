"""What one of each carries, in the operator's words: of which bench, and what to do where more is needed."""

import msgspec


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A row: the bench and the name of its figure, and what to do where that is not enough."""

    words: str
    bench: str
    figure: str
    more: str


PAGE = "docs/operations.md"
ROWS = (
    Carried(
        words="events into an ingest, in batches of 500, a core",
        bench="ingest_route",
        figure="ingest's route",
        more="another ingest",
    ),
    Carried(
        words="the same, one a request from an SDK",
        bench="dialects",
        figure="segment, single",
        more="another ingest, or an SDK that sends batches",
    ),
    Carried(
        words="events through an evaluator, beside its Kafka and PostgreSQL",
        bench="evaluator",
        figure="evaluator",
        more="another evaluator, up to one a partition",
    ),
    Carried(
        words="a midnight at which a million customers are due",
        bench="midnight",
        figure="all of them settled",
        more="another evaluator",
    ),
    Carried(
        words="an evaluator's memory at that midnight",
        bench="midnight",
        figure="resident at most",
        more="a smaller `CACHED_CUSTOMERS_MAX`",
    ),
    Carried(
        words="webhooks out of a notifier, ten at once",
        bench="deliveries",
        figure="sender",
        more="another notifier, or a channel's `concurrency`",
    ),
    Carried(
        words="1,000 stops at once, until the last one is at Slack",
        bench="deliveries",
        figure="1,000 stops at once, at Slack, 99th percentile",
        more="a channel a team",
    ),
    Carried(
        words="the inbox with 5,000 open tasks, to its first byte",
        bench="inbox",
        figure="the inbox, first byte",
        more="another notifier",
    ),
    Carried(
        words="one process with 100,000 customers of 400 days, resident",
        bench="serve_start",
        figure="the same, 20 s later",
        more="Kafka and PostgreSQL",
    ),
)
