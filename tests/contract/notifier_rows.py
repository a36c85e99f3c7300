"""Tasks and deliveries put into the notifier's tables, and read again: for the tests of each room."""

import msgspec

from services.notifier.delivery import outgoing
from services.notifier.delivery.outgoing import Mark
from services.notifier.store import ledgers, reading
from services.notifier.tasks.announce import Delivery
from services.notifier.tasks.folding import take_trigger
from services.notifier.tasks.ledger import Ledger
from shared.database import Database
from shared.triggers import Trigger, encode_trigger
from tests.unit.notifier.cases import MINUTE, NOON, config

CONFIG = config()
ROOM = {"cs-slack": 10, "phone": 10}


async def take(database: Database, *triggers: Trigger, now_us: int = NOON) -> Ledger:
    async with database.begin() as connection:
        ledger = await ledgers.open_ledger(connection, triggers, CONFIG.channels)
        for trigger in triggers:
            take_trigger(ledger, trigger, encode_trigger(trigger), CONFIG, now_us)
        await ledgers.write(connection, ledger)
    return ledger


async def deliveries(database: Database, trigger: Trigger) -> dict[str, Delivery]:
    async with database.read() as connection:
        return {d.channel: d for d in await reading.deliveries_of(connection, trigger.id)}


async def claimed(
    database: Database, now_us: int = NOON, room: dict[str, int] | None = None
) -> list[Delivery]:
    async with database.begin() as connection:
        claims = await outgoing.claim(connection, room or ROOM, now_us=now_us, lease_us=MINUTE)
    return [claim.delivery for claim in claims]


async def record(database: Database, *marks: Mark) -> None:
    async with database.begin() as connection:
        await outgoing.record(connection, marks, ())


def mark(delivery: Delivery, state: str, **values: object) -> Mark:
    lease = delivery.lease_until_us
    return msgspec.convert(
        {"delivery_id": delivery.id, "lease_until_us": lease, "state": state, **values}, Mark
    )
