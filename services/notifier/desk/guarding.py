"""The outage guard at work: weighs the stops of a batch, and lets calls go when their time has come."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

import structlog
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.planning import guard
from services.notifier.planning.guard import Outage, outage_id
from services.notifier.planning.notices import SILENCE
from services.notifier.planning.peers import HELD_DAYS_MAX, release_day
from services.notifier.planning.routing import is_stop
from services.notifier.store import cohorts, ledgers
from services.notifier.store.rows import insert_into, outage_row, slices
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import PEERS, SYSTEM, Outcome, finish
from services.notifier.tasks.turns import freed, raised, waits
from shared import schema
from shared.config import AbsenceRuleSection, Config, ProductSection
from shared.database import Database
from shared.errors import NotFound
from shared.triggers import Trigger, encode_trigger

log = structlog.get_logger()

CALLS_MAX = 200
"""So many calls are let go in one transaction."""

_o = schema.outages.c


# While triggers are read


async def watch(
    connection: AsyncConnection, triggers: Sequence[Trigger], config: Config, now_us: int
) -> dict[str, Outage]:
    """Gathers, before these triggers are folded, the outages to which they may belong."""
    products = sorted({trigger.data.product for trigger in triggers})
    guarded = {p for p in products if await cohorts.is_guarded(connection, p, _section(config, p))}
    together: dict[str, list[Trigger]] = {}
    for trigger in triggers:
        if trigger.data.product in guarded and (key := outage_id(trigger)) is not None:
            together.setdefault(key, []).append(trigger)
    known = await _locked(connection, together)
    for key, outage in known.items():
        known[key] = await _watched_again(connection, outage, together[key], config, now_us)
    new = [some for key, some in together.items() if key not in known]
    await _make(connection, [o for some in new if (o := await _opened(connection, some, config, now_us))])
    return known | await _locked(connection, together.keys() - known.keys())


async def _watched_again(
    connection: AsyncConnection, outage: Outage, triggers: Sequence[Trigger], config: Config, now_us: int
) -> Outage:
    """The outage with which these triggers go on; it is watched again where they may be too many."""
    section = _section(config, outage.product)
    more_count = len({trigger.id for trigger in triggers if is_stop(trigger, section)})
    if outage.state != "clear" or not more_count:
        return outage
    may_be = await cohorts.can_be_many(connection, outage, section, outage.stopped_count + more_count)
    return guard.watched_again(outage, now_us) if may_be else outage


async def _opened(
    connection: AsyncConnection, triggers: Sequence[Trigger], config: Config, now_us: int
) -> Outage | None:
    """The outage that these triggers of one cutoff begin; None where none of them is a stop."""
    section = _section(config, triggers[0].data.product)
    stops = [trigger for trigger in triggers if is_stop(trigger, section)]
    if not stops:
        return None
    watched = guard.opened(stops[0], _zone(stops[0], config), now_us)
    if await cohorts.can_be_many(connection, watched, section, len({stop.id for stop in stops})):
        return watched
    return guard.opened(stops[0], watched.zone, now_us, is_lone=True)


async def _make(connection: AsyncConnection, outages: Sequence[Outage]) -> None:
    """Rows for what is seen for the first time, so that two partitions of one sweep count in the same one."""
    rows = [outage_row(outage) for outage in sorted(outages, key=lambda outage: outage.id)]
    if rows:
        await connection.execute(insert_into(connection, schema.outages).on_conflict_do_nothing(), rows)


def _zone(trigger: Trigger, config: Config) -> str:
    return trigger.data.customer.time_zone or _section(config, trigger.data.product).time_zone


async def weigh(connection: AsyncConnection, ledger: Ledger, config: Config, now_us: int) -> None:
    """Holds, after they were folded, what has become too many; announces each outage once."""
    for key in sorted(ledger.changed_outages):
        outage = ledger.outages[key]
        section = _section(config, outage.product)
        if outage.state not in ("watching", "clear", "common"):
            continue
        if outage.stopped_count < guard.fewest(0, section):
            continue
        cohort_count = outage.stopped_count + await cohorts.to_be_judged(connection, outage, section)
        weighed = guard.weighed(outage, cohort_count, section, now_us)
        ledger.put_outage(weighed)
        if weighed.state == "held":
            _announce(ledger, weighed, config, now_us)


def _announce(ledger: Ledger, outage: Outage, config: Config, now_us: int) -> None:
    log.error(
        "many customers stopped at once; calls are held", outage=outage.id, stopped=outage.stopped_count
    )
    trigger = guard.silence_trigger(outage, now_us)
    if trigger.id not in ledger.known:
        ledger.learn(trigger, encode_trigger(trigger), trigger.id, now_us)
        ledger.take(raised(None, trigger, guard.silence_plan(outage, config, now_us), now_us), now_us)


def _section(config: Config, product: str) -> ProductSection:
    return config.products.get(product, ProductSection())


# When their time has come


async def due(connection: AsyncConnection, now_us: int) -> list[str]:
    """The outages that change by themselves now, or that have calls left to let go."""
    query = select(_o.id).where(_o.wake_us <= now_us).order_by(_o.wake_us).limit(100)
    return list((await connection.execute(query)).scalars())


async def next_wake_us(connection: AsyncConnection) -> int | None:
    """When the next outage changes by itself."""
    query = select(_o.wake_us).where(_o.wake_us.is_not(None)).order_by(_o.wake_us).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


async def advance(connection: AsyncConnection, outage_id: str, config: Config, now_us: int) -> Ledger:
    """Moves one outage on, and lets some of its calls go where it holds them no longer.

    Outages are locked before tasks, here as in a batch that reads stops.
    """
    outage = (await _locked(connection, [outage_id])).get(outage_id)
    if outage is None or outage.wake_us is None or outage.wake_us > now_us:
        return Ledger(channels=config.channels)
    section = _section(config, outage.product)
    if outage.state == "common" and (waiting := await _held_calls(connection, outage_id, untold=True)):
        return await _tell(connection, outage, waiting, config, now_us)
    moved = await _moved(connection, outage, section, now_us)
    if moved.is_holding:
        ledger = Ledger(channels=config.channels)
        ledger.outages[outage_id] = outage
        ledger.put_outage(moved)
        return ledger
    return await _let_go(connection, outage, moved, config, now_us)


async def _moved(connection: AsyncConnection, outage: Outage, section: ProductSection, now_us: int) -> Outage:
    """What has become of an outage whose time has come."""
    match outage.state:
        case "watching":
            can_be_many = await cohorts.can_be_many(connection, outage, section, outage.stopped_count)
            return guard.looked(outage, now_us, can_be_many=can_be_many)
        case "common":
            return await _waited(connection, outage, section, now_us)
        case "held":
            return guard.expired(outage, now_us)
        case _:
            return outage


async def _waited(
    connection: AsyncConnection, outage: Outage, section: ProductSection, now_us: int
) -> Outage:
    rule = section.rules.get(outage.rule)
    grace = rule.grace if isinstance(rule, AbsenceRuleSection) else timedelta()
    ids = {guard.id_after(outage, day): day for day in range(1, HELD_DAYS_MAX + 1)}
    rows = await connection.execute(select(schema.outages).where(_o.id.in_(ids)))
    later = [_from_row(row) for row in rows.mappings()]
    common = {ids[one.id] for one in later if guard.has_common_cause(one, section)}
    last_day = release_day(0, {0, *common})
    is_settled = await cohorts.unjudged(connection, outage, last_day, section) == 0
    return guard.waited(outage, common, grace, now_us, is_settled=is_settled)


async def _tell(
    connection: AsyncConnection, outage: Outage, task_ids: Sequence[str], config: Config, now_us: int
) -> Ledger:
    """Writes on calls that wait for the days after a common cause why they do."""
    ledger = await ledgers.ledger_of(connection, task_ids, config.channels)
    for task_id in task_ids:
        if (task := ledger.task(task_id)) is not None and task.held == outage.id:
            ledger.take(waits(task, outage.stopped_count, outage.cohort_count, now_us), now_us)
    return ledger


async def _let_go(
    connection: AsyncConnection, outage: Outage, moved: Outage, config: Config, now_us: int
) -> Ledger:
    task_ids = await _held_calls(connection, outage.id)
    notice_id = guard.silence_trigger(outage, now_us).id
    ledger = await ledgers.ledger_of(connection, [*task_ids, notice_id], config.channels)
    if moved.state == "dissolved":
        settle_notice(ledger, moved, SYSTEM, "product_problem", now_us)
    ledger.outages[outage.id] = outage
    for task_id in task_ids:
        task = ledger.task(task_id)
        if task is not None and task.held is not None:
            step = freed(
                task,
                now_us,
                actor=moved.closed_by or SYSTEM,
                unverified=moved.state == "unverified",
                is_told=moved.state != "clear",
            )
            ledger.take(step, now_us)
    ledger.put_outage(moved if len(task_ids) == CALLS_MAX else guard.let_go(moved, now_us))
    return ledger


async def _held_calls(connection: AsyncConnection, outage_id: str, *, untold: bool = False) -> list[str]:
    """Open calls that it holds, some at a time; `untold`: those that do not say yet why they wait."""
    t = schema.tasks.c
    keys = [outage_id] if untold else [outage_id, PEERS + outage_id]
    query = select(t.id).where(t.held.in_(keys), t.closed_us.is_(None)).order_by(t.id).limit(CALLS_MAX)
    return list((await connection.execute(query)).scalars())


# For people


async def held(connection: AsyncConnection, product: str | None = None) -> list[Outage]:
    """The outages that hold calls now, oldest first."""
    query = select(schema.outages).where(_o.state.in_(("held", "common"))).order_by(_o.opened_us)
    if product is not None:
        query = query.where(_o.product == product)
    return [_from_row(row) for row in (await connection.execute(query)).mappings()]


async def find(connection: AsyncConnection, key: str) -> Outage | None:
    """The outage of this id."""
    row = (await connection.execute(select(schema.outages).where(_o.id == key))).mappings().one_or_none()
    return _from_row(row) if row is not None else None


async def release(
    database: Database, config: Config, key: str, *, actor: str, now_us: int, product: str | None = None
) -> Outage:
    """A person lets the calls of an outage go; they are on their way within a second.

    Raises NotFound, or Conflict where it holds nothing any more.
    """
    async with database.begin() as connection:
        outage = (await _locked(connection, [key])).get(key)
        if outage is None or product not in (None, outage.product):
            raise NotFound(f"no outage {key[:120]!r}; `guard list` shows them")
        let = guard.released(outage, actor, now_us)
        ledger = await ledgers.ledger_of(
            connection, [guard.silence_trigger(outage, now_us).id], config.channels
        )
        ledger.outages[key] = outage
        ledger.put_outage(let)
        settle_notice(ledger, let, actor, "false_alarm", now_us)
        await ledgers.write(connection, ledger)
    return let


def settle_notice(ledger: Ledger, outage: Outage, actor: str, outcome: Outcome, now_us: int) -> None:
    """Closes the notice of an outage, where it is still open."""
    notice = ledger.task(guard.silence_trigger(outage, now_us).id)
    if notice is not None and notice.is_live and notice.trigger.type == SILENCE:
        ledger.take(finish(notice, actor, outcome, "", now_us), now_us)


async def _locked(connection: AsyncConnection, keys: Collection[str]) -> dict[str, Outage]:
    found: dict[str, Outage] = {}
    for some in slices(keys):
        query = select(schema.outages).where(_o.id.in_(some)).order_by(_o.id).with_for_update()
        found.update({row["id"]: _from_row(row) for row in (await connection.execute(query)).mappings()})
    return found


def _from_row(row: RowMapping) -> Outage:
    values = {name: row[name] for name in Outage.__struct_fields__}
    return Outage(**{**values, "day": date.fromisoformat(row["day"])})
