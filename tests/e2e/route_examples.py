"""One good request for every documented route, with the scope that it takes and what a stranger is told.

A route that is missing here fails `test_isolation.py`: add it, and with it the check that it keeps its
product's secrets.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

CUSTOMER = "himitsu-17"
"""The customer of the one product; a stranger of another product must never see this."""

PUBLIC = frozenset((("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics")))
"""Routes without a key; they tell of no customer."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """`path` may hold names of the world's; `told` is what another product's key gets."""

    scope: str
    told: int
    path: str
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = {}


def _use(**fields: Any) -> dict[str, Any]:
    return {"event": "used", "userId": "u-1", "groupId": CUSTOMER, "properties": {}, **fields}


def _segment(path: str, kind: str) -> Example:
    traits = {"traits": {"name": "Overwritten"}} if kind in ("identify", "group") else {}
    return Example(scope="ingest", told=200, path=path, body=_use(**traits))


_KINDS = ("track", "page", "screen", "identify", "group", "alias")
_CAPTURE = {"event": "used", "distinct_id": "u-1", "properties": {"$groups": {"company": CUSTOMER}}}
_PROFILE = {"name": "Overwritten"}
_CSV = f"customer_id,name\n{CUSTOMER},Overwritten\n".encode()

# What a stranger writes is taken, for its own product; what a stranger names is not there.
EXAMPLES: Mapping[tuple[str, str], Example] = {
    ("post", "/v1/events"): Example(
        scope="ingest", told=202, path="/v1/events", body={"customer_id": CUSTOMER}
    ),
    ("post", "/v1/batch"): Example(
        scope="ingest", told=200, path="/v1/batch", body={"batch": [_use(type="track")]}
    ),
    **{("post", f"/v1/{kind}"): _segment(f"/v1/{kind}", kind) for kind in _KINDS},
    **{("post", f"/api/s/s2s/{kind}"): _segment(f"/api/s/s2s/{kind}", kind) for kind in _KINDS},
    ("post", "/batch/"): Example(scope="ingest", told=200, path="/batch/", body={"batch": [_CAPTURE]}),
    ("post", "/capture/"): Example(scope="ingest", told=200, path="/capture/", body=_CAPTURE),
    ("post", "/i/v0/e/"): Example(scope="ingest", told=200, path="/i/v0/e/", body=_CAPTURE),
    ("post", "/v1/customers"): Example(
        scope="customers", told=202, path="/v1/customers", content=_CSV, headers={"Content-Type": "text/csv"}
    ),
    ("put", "/v1/customers/{customer_id}"): Example(
        scope="customers", told=202, path="/v1/customers/{customer}", body=_PROFILE
    ),
    ("delete", "/v1/customers/{customer_id}"): Example(
        scope="customers", told=202, path="/v1/customers/{customer}"
    ),
    ("get", "/v1/customers/{customer_id}"): Example(scope="read", told=404, path="/v1/customers/{customer}"),
    ("get", "/v1/customers/{customer_id}/days"): Example(
        scope="read", told=404, path="/v1/customers/{customer}/days"
    ),
    # The key's own product's, whatever anybody asks: a stranger sees its own.
    ("get", "/v1/rules"): Example(scope="read", told=200, path="/v1/rules"),
    ("get", "/v1/erasures/{receipt_id}"): Example(scope="customers", told=404, path="/v1/erasures/{receipt}"),
    ("get", "/v1/tasks"): Example(scope="read", told=200, path="/v1/tasks?customer_id={customer}"),
    ("get", "/v1/tasks/{task_id}"): Example(scope="read", told=404, path="/v1/tasks/{task}"),
    ("post", "/v1/tasks/{task_id}/acknowledge"): Example(
        scope="customers", told=404, path="/v1/tasks/{task}/acknowledge", body={}
    ),
    ("post", "/v1/tasks/{task_id}/snooze"): Example(
        scope="customers",
        told=404,
        path="/v1/tasks/{task}/snooze",
        body={"until": "2026-03-03T10:00:00+09:00"},
    ),
    ("post", "/v1/tasks/{task_id}/done"): Example(
        scope="customers", told=404, path="/v1/tasks/{task}/done", body={"outcome": "reached"}
    ),
    ("get", "/v1/deliveries"): Example(scope="read", told=200, path="/v1/deliveries"),
    ("get", "/v1/deliveries/{delivery_id}/attempts"): Example(
        scope="read", told=404, path="/v1/deliveries/{delivery}/attempts"
    ),
    ("post", "/v1/deliveries/{delivery_id}/replay"): Example(
        scope="customers", told=404, path="/v1/deliveries/{delivery}/replay"
    ),
    ("post", "/v1/deliveries/replay"): Example(
        scope="customers", told=200, path="/v1/deliveries/replay", body={"state": "delivered"}
    ),
}
