"""Counts, in the evaluator's rows, the customers of a cutoff: how many there are, and who may still stop."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.planning import guard
from services.notifier.planning.guard import Outage
from shared import schema
from shared.config import AbsenceRuleSection, ProductSection

COUNTED_MAX = 2000
"""Nobody counts further to find out that few can still stop; it is asked several times a second."""

CLOCK_SLACK_US = 5 * 60 * 1_000_000
"""So far an evaluator's clock may be behind, by which rows of the outbox are dated."""

_c = schema.customers.c
_x = schema.outbox.c


async def is_guarded(connection: AsyncConnection, product: str, section: ProductSection) -> bool:
    """Whether a product has so many customers that the guard could ever hold: else no call waits for it."""
    row = select(_c.customer_id).where(_c.product == product).offset(section.guard.min_customers - 1).limit(1)
    return (await connection.execute(row)).first() is not None


async def to_be_judged(connection: AsyncConnection, outage: Outage, section: ProductSection) -> int:
    """Customers with this cutoff who have not stopped: they are next judged at it, or on a day after."""
    rule = section.rules.get(outage.rule)
    if not isinstance(rule, AbsenceRuleSection):
        return 0
    query = judged_at(outage.product, guard.deadlines_us(outage, rule.grace))
    return int((await connection.execute(query)).scalar_one())


def judged_at(product: str, deadlines_us: Sequence[int]) -> Select[Any]:
    """Counts a product's customers who are next judged at one of these instants."""
    return select(func.count()).where(_c.product == product, _c.due_us.in_(deadlines_us))


def judged_by(product: str, deadline_us: int) -> Select[Any]:
    """Counts a product's customers who should be judged by that instant and are not yet, up to a bound."""
    some = select(_c.due_us).where(_c.product == product, _c.due_us <= deadline_us).limit(COUNTED_MAX)
    return select(func.count()).select_from(some.subquery())


async def can_be_many(
    connection: AsyncConnection, outage: Outage, section: ProductSection, stopped_count: int
) -> bool:
    """Whether, as far as is known, so many stops of this cutoff may still come that their calls are held.

    Who has not been judged yet may stop; who has been and did stop is in the outbox, written by the same
    transaction. So the first are counted before the second: whoever is judged in between counts twice.
    """
    unjudged_count = await unjudged(connection, outage, 0, section)
    told_count = await _told_since(connection, outage)
    if unjudged_count >= COUNTED_MAX or told_count is None:
        return True
    most = unjudged_count + max(told_count, stopped_count)
    if most < guard.fewest(0, section):
        return False
    others_count = max(0, await to_be_judged(connection, outage, section) - unjudged_count)
    return most >= guard.fewest(most + others_count, section)


async def unjudged(connection: AsyncConnection, outage: Outage, day: int, section: ProductSection) -> int:
    """Customers of the product whom no sweep has come to yet for this cutoff, so many days later."""
    rule = section.rules.get(outage.rule)
    if not isinstance(rule, AbsenceRuleSection):
        return 0
    query = judged_by(outage.product, guard.deadline_us(outage, day, rule.grace))
    return int((await connection.execute(query)).scalar_one())


async def _told_since(connection: AsyncConnection, outage: Outage) -> int | None:
    """How many triggers of the product were decided since the cutoff; None: too many to count."""
    newest = select(_x.product, _x.created_us).order_by(_x.seq.desc()).limit(COUNTED_MAX).subquery()
    is_since = newest.c.created_us >= outage.cutoff_us - CLOCK_SLACK_US
    of_product = func.count().filter(is_since, newest.c.product == outage.product)
    query = select(func.count().filter(is_since), of_product).select_from(newest)
    since_count, told_count = (await connection.execute(query)).one()
    return None if since_count >= COUNTED_MAX else int(told_count)
