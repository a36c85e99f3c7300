"""How often somebody may be wrong at the sign-in: counted in the database, so for all processes together."""

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.store.rows import insert_into
from shared.errors import RateLimited
from shared.schema import sign_in_failures

WINDOW_US = 15 * 60 * 1_000_000
PAIR_MAX, NAME_MAX, ADDRESS_MAX = 10, 50, 100
"""Wrong attempts in a quarter of an hour: for a name from one address, for a name, from one address.

The first bound stops guessing. The others are wider, so that nobody is locked out by a stranger who
knows their name, or by colleagues behind the same address.
"""


class TooManyAttempts(RateLimited):
    """A name or an address was wrong too often of late."""

    code = "too_many_attempts"


async def count(connection: AsyncConnection, name: str, address: str, now_us: int) -> None:
    """Counts an attempt as wrong until it is known to be right. Raises TooManyAttempts past a bound.

    What is raised takes this attempt's counting back: a count stays at its bound until its window ends.
    """
    f = sign_in_failures
    await connection.execute(delete(f).where(f.c.since_us <= now_us - WINDOW_US))
    insert = insert_into(connection, f)
    counting = insert.on_conflict_do_update(
        index_elements=["key"],
        set_={"failure_count": f.c.failure_count + 1},
    ).returning(f.c.failure_count, f.c.since_us)
    for key, count_max in _bounds(name, address):
        row = {"key": key, "failure_count": 1, "since_us": now_us}
        failure_count, since_us = (await connection.execute(counting, row)).one()
        if failure_count > count_max:
            seconds = max(1, (since_us + WINDOW_US - now_us) // 1_000_000)
            raise TooManyAttempts(
                "too many wrong attempts; try again in some minutes", retry_after_seconds=seconds
            )


async def forgive(connection: AsyncConnection, name: str, address: str) -> None:
    """The attempt was right: the name's count begins anew, the address has one failure fewer."""
    f = sign_in_failures
    pair, its_name, its_address = (key for key, _ in _bounds(name, address))
    await connection.execute(delete(f).where(f.c.key.in_((pair, its_name))))
    fewer = update(f).where(f.c.key == its_address).values(failure_count=f.c.failure_count - 1)
    await connection.execute(fewer)


def _bounds(name: str, address: str) -> tuple[tuple[str, int], ...]:
    return (
        (f"name {name} from {address}", PAIR_MAX),
        (f"name {name}", NAME_MAX),
        (f"from {address}", ADDRESS_MAX),
    )
