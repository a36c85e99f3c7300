"""A CSM's day at work: hands out its calls as far as the limit goes, and puts the others by."""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store import ledgers
from services.notifier.tasks import capacity
from services.notifier.tasks.capacity import CallDay
from services.notifier.tasks.ledger import Ledger
from shared import schema
from shared.config import Config, CsmSection

_y = schema.call_days.c

CALLS_MAX = 1000
"""So many calls of one CSM and day are looked at together, the most surprising first; then the others."""


async def due(connection: AsyncConnection, now_us: int) -> list[str]:
    """The days of which calls are to be handed out or put by now."""
    query = select(_y.id).where(_y.wake_us <= now_us).order_by(_y.wake_us).limit(100)
    return list((await connection.execute(query)).scalars())


async def next_wake_us(connection: AsyncConnection) -> int | None:
    """When the next of these days has something to decide."""
    query = select(_y.wake_us).where(_y.wake_us.is_not(None)).order_by(_y.wake_us).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


async def advance(connection: AsyncConnection, key: str, config: Config, now_us: int) -> Ledger:
    """Decides what can be decided of one day.

    Tasks are locked before the day, as where they are written; so one may be written in between, which
    then is looked at next.
    """
    ids = await _waiting(connection, key)
    ledger = await ledgers.ledger_of(connection, ids, config.channels)
    day = await _locked(connection, key)
    if day is None or day.wake_us is None or day.wake_us > now_us:
        return Ledger(channels=config.channels)
    csm = config.csms.get(day.csm_id, CsmSection(name=day.csm_id))
    waiting = [task for task in ledger.tasks if task.held == key and task.is_live]
    allotment = capacity.allot(day, waiting, csm.calls_per_day_max, now_us)
    for task in allotment.handed:
        ledger.take(capacity.handed(task, now_us), now_us)
    for task in allotment.beyond:
        at_us = capacity.digest_us(day, csm, task.plan.contact, now_us)
        day = capacity.with_digest(day, at_us)
        ledger.take(capacity.put_by(task, at_us, now_us), now_us)
    is_missed = bool(set(await _waiting(connection, key)) - set(ids))
    has_moved = bool(allotment.handed or allotment.beyond)
    values = {
        "handed_count": day.handed_count + len(allotment.handed),
        "digest_us": day.digest_us,
        "wake_us": now_us if is_missed or (has_moved and len(ids) == CALLS_MAX) else allotment.next_us,
    }
    await connection.execute(update(schema.call_days).where(_y.id == key).values(values))
    return ledger


async def _locked(connection: AsyncConnection, key: str) -> CallDay | None:
    query = select(schema.call_days).where(_y.id == key).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    return CallDay(**dict(row)) if row is not None else None


async def _waiting(connection: AsyncConnection, key: str) -> list[str]:
    t = schema.tasks.c
    order = t.surprise.desc(), t.id
    query = select(t.id).where(t.held == key, t.closed_us.is_(None)).order_by(*order).limit(CALLS_MAX)
    return list((await connection.execute(query)).scalars())
