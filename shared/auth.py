"""API keys: made, listed, revoked and checked; a key belongs to one product and has scopes.

A key is `ut_<8 hex>_<43 characters>`: a visible prefix to name it by, and 32 random bytes. So much
randomness cannot be guessed, so one SHA-256 keeps it safe at rest; slow hashes are for passwords.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, Literal, get_args

import msgspec
from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Row, insert, or_, select, update
from starlette.datastructures import Headers
from starlette.requests import Request

from shared.clock import Clock
from shared.database import Database
from shared.errors import Forbidden, InvalidInput, NotFound, StoreUnavailable, Unauthorized
from shared.schema import api_keys

Scope = Literal["ingest", "customers", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("ingest", "customers", "read")

CACHED_SECONDS = 3
"""A key revoked anywhere stops working everywhere after this long."""

STALE_SECONDS = 15 * 60
"""While the database is away, a key known this recently is still taken: else nothing could be accepted."""

_LAST_USED_EVERY_US = 60 * 1_000_000
_SHAPE = re.compile(r"(ut_[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_SECOND_US = 1_000_000


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as everybody may see it; instants in microseconds since the epoch.

    `events_per_second_max` is a bound of its own; None: the one that holds for every key.
    """

    prefix: str
    product: str
    scopes: tuple[Scope, ...]
    name: str = ""
    events_per_second_max: int | None = None
    created_us: int
    revoked_us: int | None = None
    last_used_us: int | None = None

    def allows(self, scope: Scope) -> bool:
        """`admin` includes every other scope."""
        return scope in self.scopes or "admin" in self.scopes


class _Known(msgspec.Struct, frozen=True):
    """A key as last read, and when the database was last asked for it, successfully or not."""

    key: ApiKey
    read_us: int
    asked_us: int


class KeyRing:
    """The keys in the database, with a cache that forgets within seconds.

    `token_bytes(n)` gives n random bytes; tests pass their own.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        *,
        cached_max: int = 4096,
    ) -> None:
        self._database = database
        self._clock = clock
        self._token_bytes = token_bytes
        self._cached_max = cached_max
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[ApiKey]] = {}

    async def create(
        self,
        product: str,
        *,
        name: str = "",
        scopes: Collection[Scope] = DEFAULT_SCOPES,
        events_per_second_max: int | None = None,
    ) -> str:
        """A new key of `product`; the only time that it can be seen."""
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        if not ordered or len(ordered) != len(set(scopes)):
            raise InvalidInput(f"scopes are one or more of {' '.join(SCOPES)}")
        prefix = f"ut_{self._token_bytes(4).hex()}"
        secret = f"{prefix}_{base64.urlsafe_b64encode(self._token_bytes(32)).decode().rstrip('=')}"
        async with self._database.begin() as connection:
            await connection.execute(
                insert(api_keys).values(
                    prefix=prefix,
                    key_hash=_hash(secret),
                    product=product,
                    name=name,
                    scopes=" ".join(ordered),
                    events_per_second_max=events_per_second_max,
                    created_us=self._clock.now_us(),
                )
            )
        return secret

    async def list(self, product: str | None = None) -> tuple[ApiKey, ...]:
        """Every key, oldest first, revoked ones too; of one product where it is named."""
        query = select(api_keys).order_by(api_keys.c.created_us, api_keys.c.prefix)
        if product is not None:
            query = query.where(api_keys.c.product == product)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(_from_row(row) for row in rows)

    async def revoke(self, prefix: str, *, overlap: timedelta = timedelta(0)) -> ApiKey:
        """The key stops working after `overlap`; revoking it again can only bring that forward.

        Raises NotFound for a prefix that no key has.
        """
        until_us = self._clock.now_us() + overlap // timedelta(microseconds=1)
        async with self._database.begin() as connection:
            await connection.execute(
                update(api_keys)
                .where(api_keys.c.prefix == prefix)
                .where(or_(api_keys.c.revoked_us.is_(None), api_keys.c.revoked_us > until_us))
                .values(revoked_us=until_us)
            )
            row = (
                await connection.execute(select(api_keys).where(api_keys.c.prefix == prefix))
            ).one_or_none()
        if row is None:
            raise NotFound(f"no key has the prefix {prefix[:40]!r}; `keys list` shows them")
        self._known.clear()
        return _from_row(row)

    async def rotate(self, prefix: str, *, overlap: timedelta) -> str:
        """A new key like `prefix` in all but its secret; the old one goes on working for `overlap`."""
        old = await self.revoke(prefix, overlap=overlap)
        return await self.create(
            old.product,
            name=old.name,
            scopes=old.scopes,
            events_per_second_max=old.events_per_second_max,
        )

    async def authenticate(self, secret: str) -> ApiKey:
        """The key that `secret` is. Raises Unauthorized, or StoreUnavailable where nobody can tell."""
        shape = _SHAPE.fullmatch(secret)
        if shape is None:
            raise Unauthorized("this is no API key; `usage-triggers keys create` makes one")
        now_us = self._clock.now_us()
        key_hash = _hash(secret)
        known = self._known.get(key_hash)
        if known is not None and _within(known.asked_us, now_us, CACHED_SECONDS):
            key = known.key
        else:
            key = await self._looked_up_once(shape[1], key_hash, now_us)
        if key.revoked_us is not None and key.revoked_us <= now_us:
            raise Unauthorized(_UNKNOWN)
        return key

    async def check(self) -> None:
        """Raises StoreUnavailable where keys cannot be looked up (readiness)."""
        async with self._database.read() as connection:
            await connection.execute(select(api_keys.c.prefix).limit(1))

    async def check_usable(self) -> None:
        """As `check`, but content while the database is away and a key is known that still holds.

        For a service that needs the database for its keys alone: called not ready, it would be sent nothing
        while the database restarts, which is what the keys are remembered for.
        """
        try:
            await self.check()
        except StoreUnavailable:
            now_us = self._clock.now_us()
            if not any(_within(known.read_us, now_us, STALE_SECONDS) for known in self._known.values()):
                raise

    async def _looked_up_once(self, prefix: str, key_hash: bytes, now_us: int) -> ApiKey:
        """A hundred requests that find the same key out of date ask the database once."""
        lookup = self._lookups.get(key_hash)
        if lookup is None:
            lookup = asyncio.create_task(self._looked_up(prefix, key_hash, now_us))
            self._lookups[key_hash] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(key_hash, None))
        # One request that is given up must not take the answer from the others.
        return await asyncio.shield(lookup)

    async def _looked_up(self, prefix: str, key_hash: bytes, now_us: int) -> ApiKey:
        try:
            key = await self._read(prefix, key_hash)
        except StoreUnavailable:
            known = self._known.get(key_hash)
            if known is None or not _within(known.read_us, now_us, STALE_SECONDS):
                raise
            self._remember(key_hash, _Known(known.key, known.read_us, now_us))
            return known.key
        if key is None:
            self._known.pop(key_hash, None)
            raise Unauthorized(_UNKNOWN)
        self._remember(key_hash, _Known(key, now_us, now_us))
        await self._note_use(key, now_us)
        return key

    async def _read(self, prefix: str, key_hash: bytes) -> ApiKey | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(api_keys).where(api_keys.c.prefix == prefix))
            ).one_or_none()
        return _from_row(row) if row is not None and hmac.compare_digest(row.key_hash, key_hash) else None

    def _remember(self, key_hash: bytes, known: _Known) -> None:
        self._known[key_hash] = known
        self._known.move_to_end(key_hash)
        while len(self._known) > self._cached_max:
            self._known.popitem(last=False)

    async def _note_use(self, key: ApiKey, now_us: int) -> None:
        """Once a minute at the most: when a key was used last is for people, to the minute."""
        if key.last_used_us is not None and now_us - key.last_used_us < _LAST_USED_EVERY_US:
            return
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    update(api_keys).where(api_keys.c.prefix == key.prefix).values(last_used_us=now_us)
                )
        except StoreUnavailable:
            return  # The key is good all the same; the next look-up writes it.


def presented_key(headers: Headers) -> str | None:
    """The key that a request shows: Bearer, or the user name of Basic, or X-Write-Key.

    Jitsu's clients write `<key>:<anything>`; what follows the colon says nothing here. Never the query
    string: proxies and browsers write that down.
    """
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return key_alone(rest)
    if scheme.lower() == "basic" and rest:
        return _basic_user(rest)
    return key_alone(headers.get("x-write-key", "")) or None


def key_alone(text: str) -> str:
    """The key of `<key>` or `<key>:<anything>`."""
    return text.partition(":")[0].strip()


async def authorize(keyring: KeyRing, secret: str | None, scope: Scope) -> ApiKey:
    """The key of a request that needs `scope`. Raises Unauthorized or Forbidden."""
    if not secret:
        raise Unauthorized("no API key; send it as `Authorization: Bearer <key>`")
    key = await keyring.authenticate(secret)
    if not key.allows(scope):
        raise Forbidden(f"the key {key.prefix} lacks the scope {scope!r}")
    return key


# Only so that the OpenAPI page shows the scheme; the header itself is read by presented_key.
_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key, `ut_...`")
DOCUMENTED = Security(_bearer)
"""For `dependencies=` of a router whose endpoints call authorize themselves."""


def require(keyring: KeyRing, scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """A FastAPI dependency that gives the request's ApiKey, or answers 401 or 403."""

    async def dependency(
        request: Request,
        _shown: HTTPAuthorizationCredentials | None = Security(_bearer),  # noqa: B008
    ) -> ApiKey:
        return await authorize(keyring, presented_key(request.headers), scope)

    return dependency


_UNKNOWN = "unknown or revoked API key"


def _within(since_us: int, now_us: int, seconds_max: int) -> bool:
    # An instant in the future means that the clock was set back; then it counts as long ago.
    return 0 <= now_us - since_us < seconds_max * _SECOND_US


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _basic_user(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _from_row(row: Row[Any]) -> ApiKey:
    return ApiKey(
        prefix=row.prefix,
        product=row.product,
        scopes=tuple(scope for scope in SCOPES if scope in row.scopes.split()),
        name=row.name,
        events_per_second_max=row.events_per_second_max,
        created_us=row.created_us,
        revoked_us=row.revoked_us,
        last_used_us=row.last_used_us,
    )
