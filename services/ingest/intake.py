"""The shell of ingest: who sends, what is taken of it, and the log's word that it has it."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.batch import Batch, Rejection
from services.ingest.dead_letters import dead_letter_records
from services.ingest.dialects.mapping import Envelope, Reading, reading_of
from services.ingest.dialects.paths import take_apart
from services.ingest.limits import Terms
from services.ingest.rates import Rates
from shared.auth import ApiKey, KeyRing, Scope, authorize, presented_key
from shared.clock import Clock
from shared.config import Config
from shared.errors import InvalidInput, UnknownProduct
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS
from shared.log import Log, Message
from shared.metrics import EVENTS_ACCEPTED, EVENTS_REJECTED, PROFILES_ACCEPTED

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_encode = msgspec.json.Encoder().encode


class IngestParts(msgspec.Struct, frozen=True, kw_only=True):
    """All that ingest stands on. `make_id` gives an id to an event that came without one.

    `events_per_second_max` is what a key without a bound of its own may send to this process, on the
    average; None: no bound.
    """

    config: Config
    log: Log
    keys: KeyRing
    clock: Clock
    make_id: Callable[[], str]
    events_per_second_max: int | None = None


class Intake:
    """What every route of ingest does around its parser."""

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts
        self._late_window_us = {
            name: int(product.late_window.total_seconds()) * 1_000_000
            for name, product in parts.config.products.items()
        }
        self._paths = {
            name: take_apart(product.customer_from) for name, product in parts.config.products.items()
        }
        self._rates = Rates(parts.events_per_second_max)

    async def key_of(self, request: Request, scope: Scope, *, in_body: str | None = None) -> ApiKey:
        """The request's key, from its headers or else from its body.

        Raises Unauthorized, Forbidden, or RateLimited for one that has sent too much of late.
        """
        secret = presented_key(request.headers) or in_body
        key = await authorize(self._parts.keys, secret, scope)
        self._rates.check(key, self._parts.clock.now_us())
        return key

    def charge(self, key: ApiKey, batch: Batch) -> None:
        """Count what a request held against its key's rate."""
        count = batch.accepted_count + len(batch.rejected)
        self._rates.charge(key, count, self._parts.clock.now_us())

    def reading(self, envelope: Envelope, key: ApiKey, terms: Terms) -> Reading:
        """How a foreign body sent with `key` is read."""
        return reading_of(
            envelope,
            terms=terms,
            paths=self._paths[key.product],
            make_id=self._parts.make_id,
            may_tell_profiles=key.allows("customers"),
        )

    def terms(self, key: ApiKey, request: Request) -> Terms:
        """By what this request's items are judged; `?backfill=true` says that they are history."""
        late_window_us = self._late_window_us.get(key.product)
        if late_window_us is None:
            raise UnknownProduct(f"the configuration has no product {key.product!r}; its operator can add it")
        return Terms(
            product=key.product,
            now_us=self._parts.clock.now_us(),
            late_window_us=late_window_us,
            backfill=_flag(request, "backfill"),
        )

    async def publish(self, batch: Batch, terms: Terms, *, path: str, dialect: str) -> None:
        """Returns once the log has every record of `batch`, and a dead letter for each item refused.

        Raises LogUnavailable when that is not certain; sending the same again is safe then.
        """
        # Dead letters first: their ids are derived, so a repetition after a failure changes nothing,
        # while events without an id of their own would be counted again.
        await self._keep(batch.rejected, terms, path)
        await self.append(batch.messages)
        _count(batch, terms.product, dialect)

    async def append(self, messages: Sequence[Message]) -> None:
        """Returns once the log has `messages` durably; raises LogUnavailable when that is not certain."""
        if messages:
            await self._parts.log.append(TOPIC_EVENTS, messages)

    async def _keep(self, rejected: Sequence[Rejection], terms: Terms, path: str) -> None:
        if rejected:
            origin = f"{'import' if terms.backfill else 'http'}:{path}"
            records = dead_letter_records(rejected, product=terms.product, origin=origin, now_us=terms.now_us)
            await self._parts.log.append(TOPIC_DEAD_LETTERS, records)


def answer(batch: Batch) -> Response:
    """202 with what was accepted and each item refused; 422 if nothing was good."""
    if batch.rejected and not batch.accepted_count:
        return refusal(batch)
    return Response(_encode(_shown(batch)), 202, media_type="application/json")


def refusal(batch: Batch) -> Response:
    """422: nothing was good. The first item's reason stands where every error has it."""
    first = batch.rejected[0]
    detail = f"item {first.index}: {first.message}"
    shown = {"code": first.code, "message": first.message, "detail": detail, **_shown(batch)}
    return Response(_encode(shown), 422, media_type="application/json")


def _shown(batch: Batch) -> dict[str, Any]:
    return {
        "accepted": batch.accepted_count,
        "rejected": [rejection.shown() for rejection in batch.rejected],
    }


def _flag(request: Request, name: str) -> bool:
    if not request.scope["query_string"]:
        return False
    text = request.query_params.get(name, "false").lower()
    if text not in _FLAGS:
        raise InvalidInput(f"{name} is true or false")
    return _FLAGS[text]


def _count(batch: Batch, product: str, dialect: str) -> None:
    if batch.event_count:
        _accepted(product, dialect).inc(batch.event_count)
    if batch.profile_count:
        PROFILES_ACCEPTED.labels(product).inc(batch.profile_count)
    for rejection in batch.rejected:
        EVENTS_REJECTED.labels(product, rejection.code).inc()


@lru_cache(1024)  # to look it up costs as much as to count
def _accepted(product: str, dialect: str) -> Counter:
    return EVENTS_ACCEPTED.labels(product, dialect)
