"""API keys: their shape, their life, and who gets in with them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import Headers

from shared.auth import CACHED_SECONDS, STALE_SECONDS, KeyRing, authorize, presented_key
from shared.clock import ManualClock
from shared.database import Database, open_sqlite
from shared.errors import Forbidden, InvalidInput, NotFound, StoreUnavailable, Unauthorized
from shared.schema import api_keys, metadata
from tests.begun import begun

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Counting:
    """Bytes that differ at every call and are the same in every run."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return bytes([self._calls]) * count


class Leaving(Database):
    """A database that can go away, and counts how often it is read."""

    away = False
    read_count = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        self.read_count += 1
        if self.away:
            raise StoreUnavailable("the database does not answer: refused")
        async with super().read() as connection:
            yield connection


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Leaving]:
    database = Leaving(open_sqlite(tmp_path / "keys.sqlite").engine)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
def keys(database: Database, clock: ManualClock) -> KeyRing:
    return KeyRing(database, clock, Counting())


def headers(**values: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in values.items()})


async def test_a_key_shows_its_prefix_and_hides_32_random_bytes(keys: KeyRing) -> None:
    secret = await keys.create("reserve")
    assert secret == "ut_01010101_" + base64.urlsafe_b64encode(b"\x02" * 32).decode().rstrip("=")
    assert len(secret) == 3 + 8 + 1 + 43


async def test_the_key_itself_is_nowhere_in_the_database(keys: KeyRing, database: Database) -> None:
    secret = await keys.create("reserve")
    async with database.read() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert secret[12:] not in repr(tuple(row))


async def test_a_key_authenticates_for_its_product_and_scopes(keys: KeyRing) -> None:
    key = await keys.authenticate(await keys.create("reserve", name="web", scopes=["read", "ingest"]))
    assert (key.product, key.name, key.scopes) == ("reserve", "web", ("ingest", "read"))


@pytest.mark.parametrize("secret", ["", "x", "ut_", "ut_01010101_" + "A" * 43, "ut_01010101_é" + "A" * 42])
async def test_what_is_no_key_is_refused(keys: KeyRing, secret: str) -> None:
    await keys.create("reserve")
    with pytest.raises(Unauthorized):
        await keys.authenticate(secret)


async def test_the_right_prefix_with_another_secret_is_refused(keys: KeyRing) -> None:
    secret = await keys.create("reserve")
    with pytest.raises(Unauthorized):
        await keys.authenticate(secret[:-1] + ("A" if secret[-1] != "A" else "B"))


async def test_unknown_scopes_make_no_key(keys: KeyRing) -> None:
    with pytest.raises(InvalidInput):
        await keys.create("reserve", scopes=["ingest", "root"])  # type: ignore[list-item]
    assert await keys.list() == ()


async def test_keys_are_listed_oldest_first_and_by_product(keys: KeyRing, clock: ManualClock) -> None:
    await keys.create("reserve", name="a")
    clock.advance(timedelta(seconds=1))
    await keys.create("pos", name="b")
    assert [key.name for key in await keys.list()] == ["a", "b"]
    assert [key.name for key in await keys.list("pos")] == ["b"]


async def test_a_revoked_key_stops_at_once_where_it_was_revoked(keys: KeyRing) -> None:
    secret = await keys.create("reserve")
    key = await keys.authenticate(secret)
    await keys.revoke(key.prefix)
    with pytest.raises(Unauthorized):
        await keys.authenticate(secret)


async def test_a_revoked_key_stops_elsewhere_within_seconds(
    keys: KeyRing, database: Database, clock: ManualClock
) -> None:
    elsewhere = KeyRing(database, clock)
    secret = await keys.create("reserve")
    key = await elsewhere.authenticate(secret)
    await keys.revoke(key.prefix)
    clock.advance(timedelta(seconds=CACHED_SECONDS))
    with pytest.raises(Unauthorized):
        await elsewhere.authenticate(secret)


async def test_a_clock_set_back_does_not_keep_a_revoked_key_alive(
    keys: KeyRing, database: Database, clock: ManualClock
) -> None:
    elsewhere = KeyRing(database, clock)
    secret = await keys.create("reserve")
    prefix = (await elsewhere.authenticate(secret)).prefix
    clock.advance(timedelta(hours=-2))
    await keys.revoke(prefix)
    with pytest.raises(Unauthorized):
        await elsewhere.authenticate(secret)


async def test_revoking_a_prefix_that_no_key_has_says_so(keys: KeyRing) -> None:
    with pytest.raises(NotFound, match="ut_ffffffff"):
        await keys.revoke("ut_ffffffff")


async def test_revoking_again_cannot_put_the_end_off(keys: KeyRing) -> None:
    prefix = (await keys.authenticate(await keys.create("reserve"))).prefix
    first = await keys.revoke(prefix)
    assert (await keys.revoke(prefix, overlap=timedelta(days=1))).revoked_us == first.revoked_us


async def test_a_rotated_key_and_its_heir_overlap(keys: KeyRing, clock: ManualClock) -> None:
    old = await keys.create("reserve", name="web", scopes=["ingest"], events_per_second_max=7)
    prefix = (await keys.authenticate(old)).prefix
    new = await keys.rotate(prefix, overlap=timedelta(hours=1))
    clock.advance(timedelta(minutes=59))
    assert (await keys.authenticate(old)).product == (await keys.authenticate(new)).product
    heir = await keys.authenticate(new)
    assert (heir.name, heir.scopes, heir.events_per_second_max) == ("web", ("ingest",), 7)
    clock.advance(timedelta(minutes=1))
    with pytest.raises(Unauthorized):
        await keys.authenticate(old)


async def test_last_use_is_written_once_a_minute(keys: KeyRing, clock: ManualClock) -> None:
    secret = await keys.create("reserve")
    first = clock.now_us()
    for _ in range(7):
        await keys.authenticate(secret)
        clock.advance(timedelta(seconds=CACHED_SECONDS))
    assert (await keys.list())[0].last_used_us == first
    clock.advance(timedelta(minutes=1))
    await keys.authenticate(secret)
    assert (await keys.list())[0].last_used_us == clock.now_us()


async def test_with_a_known_key_the_keys_are_usable_while_the_database_is_away(
    keys: KeyRing, database: Leaving, clock: ManualClock
) -> None:
    secret = await keys.create("reserve")
    database.away = True
    with pytest.raises(StoreUnavailable):
        await keys.check_usable()  # nobody is known, so nobody could get in
    database.away = False
    await keys.authenticate(secret)
    database.away = True
    await keys.check_usable()
    clock.advance(timedelta(seconds=STALE_SECONDS + 1))
    with pytest.raises(StoreUnavailable):
        await keys.check_usable()


async def test_a_known_key_works_on_while_the_database_is_away(
    keys: KeyRing, database: Leaving, clock: ManualClock
) -> None:
    secret = await keys.create("reserve")
    await keys.authenticate(secret)
    database.away = True
    clock.advance(timedelta(seconds=STALE_SECONDS - 1))
    assert (await keys.authenticate(secret)).product == "reserve"
    clock.advance(timedelta(seconds=CACHED_SECONDS))
    with pytest.raises(StoreUnavailable):
        await keys.authenticate(secret)


async def test_a_database_that_is_away_is_asked_once_in_a_while_only(
    keys: KeyRing, database: Leaving, clock: ManualClock
) -> None:
    secret = await keys.create("reserve")
    await keys.authenticate(secret)
    database.away = True
    clock.advance(timedelta(seconds=CACHED_SECONDS))
    for _ in range(10):
        await keys.authenticate(secret)
    assert database.read_count == 2


async def test_a_crowd_with_one_key_asks_the_database_once(keys: KeyRing, database: Leaving) -> None:
    secret = await keys.create("reserve")
    found = await asyncio.gather(*(keys.authenticate(secret) for _ in range(100)))
    assert {key.product for key in found} == {"reserve"}
    assert database.read_count == 1


async def test_one_of_a_crowd_that_gives_up_leaves_the_others_their_answer(keys: KeyRing) -> None:
    secret = await keys.create("reserve")
    first, second = await begun(keys.authenticate(secret), keys.authenticate(secret))
    first.cancel()
    assert (await second).product == "reserve"
    assert first.cancelled()


async def test_a_key_that_left_the_cache_still_works(database: Database, clock: ManualClock) -> None:
    keys = KeyRing(database, clock, cached_max=2)
    secrets = [await keys.create(product) for product in ("a", "b", "c", "d")]
    assert [(await keys.authenticate(secret)).product for secret in secrets * 2] == ["a", "b", "c", "d"] * 2


async def test_no_key_and_a_key_without_the_scope_are_told_apart(keys: KeyRing) -> None:
    secret = await keys.create("reserve", scopes=["ingest"])
    with pytest.raises(Unauthorized, match="Bearer"):
        await authorize(keys, None, "ingest")
    with pytest.raises(Forbidden, match="customers"):
        await authorize(keys, secret, "customers")


async def test_admin_includes_every_scope(keys: KeyRing) -> None:
    secret = await keys.create("reserve", scopes=["admin"])
    assert (await authorize(keys, secret, "customers")).product == "reserve"


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_key_comes_as_bearer_or_as_basic_user_name_or_as_write_key() -> None:
    assert presented_key(headers(authorization="Bearer ut_a")) == "ut_a"
    assert presented_key(headers(authorization="bearer  ut_a ")) == "ut_a"
    assert presented_key(headers(authorization=basic("ut_a"))) == "ut_a"
    assert presented_key(headers(authorization=basic("ut_a", "ignored"))) == "ut_a"
    assert presented_key(headers(x_write_key="ut_a:secret")) == "ut_a"
    assert presented_key(headers(authorization="Bearer ut_a:secret")) == "ut_a"


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic /w==", "Digest ut_a", basic("")]
)
def test_a_broken_authorization_header_is_no_key(value: str) -> None:
    assert presented_key(headers(authorization=value)) is None
