"""What can be asked about a customer over HTTP: its profile, days, streaks and triggers, as last folded."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.evaluator import reading
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState
from services.evaluator.partition import decoded
from services.evaluator.store import EvaluatorStore
from shared.auth import ApiKey, KeyRing, require
from shared.clock import Clock, from_us
from shared.erasure import Receipt
from shared.errors import InvalidInput, NotFound
from shared.http import ERROR_RESPONSES

DAYS_SHOWN = 90
DAYS_MAX = 3_660
TRIGGERS_MAX = 1_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _as_written(value: object) -> object:
    # Left alone, pydantic takes a bare number for seconds since 1970.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written 2026-03-02")
    return value


Day = Annotated[date, BeforeValidator(_as_written)]


class ReadingParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes need; `products` are compiled. A record leaves the log after `log_hours`."""

    store: EvaluatorStore
    products: dict[str, Product]
    keyring: KeyRing
    clock: Clock
    log_hours: int = 24 * 40


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class DayBody(_Body):
    """A usage day; `expected` is whether use is expected on it, as known now."""

    day: date
    active: bool
    expected: bool


class StreakBody(_Body):
    """The present streak under one rule; its days are null when its length is 0."""

    rule: str
    length: int
    calendar_days: int
    started_on: date | None
    last_active_on: date | None


class CountBody(_Body):
    """A count that is neither reached nor missed: so many of those asked for, until the end of a day."""

    rule: str
    count: int
    at_least: int
    last_day: date


class CustomerBody(_Body):
    """A customer now: profile, streaks, open counts, and its last 90 usage days, today included."""

    customer_id: str
    time_zone: str
    today: date
    profile: dict[str, Any]
    streaks: list[StreakBody]
    counts: list[CountBody]
    days: list[DayBody]


class DaysBody(_Body):
    """A customer's usage days from first to last, its present streaks and its newest triggers as sent."""

    customer_id: str
    time_zone: str
    days: list[DayBody]
    streaks: list[StreakBody]
    triggers: list[dict[str, Any]] = Field(description="Newest last, 1,000 at the most.")


class RemovedBody(_Body):
    """How many of each were deleted."""

    customers: int
    triggers: int
    tasks: int
    deliveries: int
    dead_letters: int


class ReceiptBody(_Body):
    """What an erasure took out of the store. It names nobody; who asked for it has the id."""

    receipt_id: str
    asked_at: datetime
    asked_by: str = Field(description="The visible part of the API key.")
    erased_at: datetime
    removed: RemovedBody
    log_until: datetime = Field(description="By then the log has let go of the customer's events as well.")


class _View(msgspec.Struct, frozen=True):
    """A customer found, with what is needed to read its days."""

    state: CustomerState
    product: Product
    excused: frozenset[int]
    today: int

    @property
    def time_zone(self) -> str:
        return str(reading.profile_view(self.state)["time_zone"])

    def days(self, first: int, last: int) -> list[dict[str, Any]]:
        return reading.days_between(self.state, first=first, last=last, excused=self.excused)

    def streaks(self) -> list[dict[str, Any]]:
        return reading.streaks(self.state, self.product, today=self.today, excused=self.excused)

    def counts(self) -> list[dict[str, Any]]:
        return reading.open_counts(self.state, self.product, excused=self.excused)


class ChangedRulesBody(_Body):
    """The names of the rules that differ from the set before."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    edited: tuple[str, ...]


class SeenRulesBody(_Body):
    """One set of rules, as they stood in the file, and when customers were first and last put under it."""

    key: str
    first_adopted_at: datetime
    last_adopted_at: datetime
    rules: dict[str, Any]
    changed: ChangedRulesBody


class RulesBody(_Body):
    """The history of a product's rules, the newest first."""

    history: tuple[SeenRulesBody, ...]


def router(parts: ReadingParts) -> APIRouter:
    """`/v1/customers/{id}` and its `/days`. A customer exists once its first event or profile was folded, a
    moment after it was accepted."""
    routes = APIRouter(tags=["customers"], responses=ERROR_RESPONSES)
    key_of = require(parts.keyring, "read")

    # Ids may hold slashes, so the longer path has to be tried first.
    @routes.get("/v1/customers/{customer_id:path}/days", summary="A customer's days, streaks and triggers")
    async def get_days(
        customer_id: str,
        key: Annotated[ApiKey, Depends(key_of)],
        first_on: Annotated[Day | None, Query(alias="from", description="First usage day.")] = None,
        last_on: Annotated[Day | None, Query(alias="to", description="Last usage day, included.")] = None,
    ) -> DaysBody:
        """Without `from` and `to`: the last 90 days, today included.

        curl -H "Authorization: Bearer $KEY" "http://localhost:8000/v1/customers/c-17/days?from=2026-03-01"
        """
        view = await _found(parts, key.product, customer_id)
        first, last = _span(first_on, last_on, view.today)
        triggers = await parts.store.triggers(key.product, customer_id, rows_max=TRIGGERS_MAX)
        return DaysBody.model_validate(
            {
                "customer_id": customer_id,
                "time_zone": view.time_zone,
                "days": view.days(first, last),
                "streaks": view.streaks(),
                "triggers": [msgspec.json.decode(trigger) for trigger in triggers],
            }
        )

    @routes.get("/v1/customers/{customer_id:path}", summary="A customer's profile, streaks and last 90 days")
    async def get_customer(customer_id: str, key: Annotated[ApiKey, Depends(key_of)]) -> CustomerBody:
        """What is known of a customer now.

        curl -H "Authorization: Bearer $KEY" http://localhost:8000/v1/customers/c-17
        """
        view = await _found(parts, key.product, customer_id)
        return CustomerBody.model_validate(
            {
                "customer_id": customer_id,
                "time_zone": view.time_zone,
                "today": date.fromordinal(view.today),
                "profile": reading.profile_view(view.state),
                "streaks": view.streaks(),
                "counts": view.counts(),
                "days": view.days(view.today - DAYS_SHOWN + 1, view.today),
            }
        )

    @routes.get("/v1/rules", summary="The rules in force, and those before them", tags=["rules"])
    async def get_rules(key: Annotated[ApiKey, Depends(key_of)]) -> RulesBody:
        """Every set of rules by which customers were looked at, the newest first.

        curl -H "Authorization: Bearer $KEY" http://localhost:8000/v1/rules
        """
        seen = await parts.store.seen_rules(key.product)
        return RulesBody.model_validate({"history": reading.rule_history(seen)})

    @routes.get("/v1/erasures/{receipt_id}", summary="The receipt of an erasure")
    async def get_receipt(
        receipt_id: str, key: Annotated[ApiKey, Depends(require(parts.keyring, "customers"))]
    ) -> ReceiptBody:
        """What went when a customer was erased; there a moment after the erasure was accepted.

        curl -H "Authorization: Bearer $KEY" http://localhost:8000/v1/erasures/0f6dc2f8-8a4b-4d3e-9a43-5f8d6f1f4c55
        """
        receipt = None if "\x00" in receipt_id else await parts.store.receipt(key.product, receipt_id)
        if receipt is None:
            raise NotFound(f"no receipt {receipt_id[:80]!r}; one is there a moment after the erasure")
        return _receipt_body(receipt, parts.log_hours)

    return routes


def _receipt_body(receipt: Receipt, log_hours: int) -> ReceiptBody:
    return ReceiptBody(
        receipt_id=receipt.receipt_id,
        asked_at=from_us(receipt.asked_us),
        asked_by=receipt.asked_by,
        erased_at=from_us(receipt.erased_us),
        removed=RemovedBody(
            customers=receipt.customer_count,
            triggers=receipt.trigger_count,
            tasks=receipt.task_count,
            deliveries=receipt.delivery_count,
            dead_letters=receipt.dead_letter_count,
        ),
        log_until=from_us(receipt.erased_us) + timedelta(hours=log_hours),
    )


async def _found(parts: ReadingParts, product_id: str, customer_id: str) -> _View:
    """The customer, or NotFound: the same whether it is unknown or another product's."""
    product = parts.products.get(product_id)
    row = None if "\x00" in customer_id else await parts.store.customer(product_id, customer_id)
    if product is None or row is None:
        raise NotFound(
            f"no customer {customer_id[:200]!r} is known; a new one is, a moment after its first event"
        )
    state = decoded(row)
    excused = (await parts.store.excused(row.partition)).get(product_id, frozenset())
    return _View(state, product, excused, reading.today(state, parts.clock.now_us()))


def _span(first_on: date | None, last_on: date | None, today: int) -> tuple[int, int]:
    last = last_on.toordinal() if last_on else max(today, first_on.toordinal() if first_on else today)
    first = first_on.toordinal() if first_on else max(1, last - DAYS_SHOWN + 1)
    if first > last:
        raise InvalidInput("`from` lies after `to`")
    if last - first >= DAYS_MAX:
        raise InvalidInput(f"{last - first + 1} days asked for, {DAYS_MAX} at the most")
    return first, last
