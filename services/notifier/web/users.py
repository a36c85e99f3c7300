"""Who may sign in: a name, a role, perhaps a CSM, and the argon2id hash of a password."""

import asyncio
import re
from collections.abc import Mapping

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.web.access import ROLES, Role
from shared.clock import Clock
from shared.config import CsmSection
from shared.database import Database
from shared.errors import Conflict, InvalidInput, NotFound
from shared.schema import sessions, users

PASSWORD_CHARS_MIN = 10
PASSWORD_CHARS_MAX = 1_000

HASHES_AT_ONCE_MAX = 2
"""A hash costs 64 MiB and a good part of a core: a crowd at the door must not take both from the rest."""

_NAME = re.compile(r"[^\s\x00-\x1f]{1,200}")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. `csm` is the CSM that they are; `created_us` 0: by the configuration."""

    name: str
    role: Role
    csm: str | None = None
    has_password: bool = False
    created_us: int = 0


def user_name(text: str) -> str:
    """A name as it is kept: people type their address in any case. Raises InvalidInput."""
    name = text.strip().casefold()
    if not _NAME.fullmatch(name):
        raise InvalidInput("a user's name is 1 to 200 characters without spaces", code="bad_name")
    return name


def csm_by_email(name: str, csms: Mapping[str, CsmSection]) -> str | None:
    """The CSM of the configuration whose e-mail address a name is."""
    return next((key for key, csm in csms.items() if csm.email and csm.email.casefold() == name), None)


def configured(name: str, csms: Mapping[str, CsmSection]) -> User | None:
    """A CSM of the configuration as a user, known by e-mail address; whoever leads somebody is a lead."""
    csm = csm_by_email(name, csms)
    if csm is None:
        return None
    leads = any(other.lead == csm for other in csms.values())
    return User(name=name, role="lead" if leads else "csm", csm=csm)


class Users:
    """The users in the database; hashing happens beside the loop, a few at once."""

    def __init__(self, database: Database, clock: Clock, hasher: PasswordHasher | None = None) -> None:
        """`hasher`: tests pass a cheap one."""
        self._database = database
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE_MAX)
        self._nobodys_hash: str | None = None

    async def add(self, name: str, *, role: str, csm: str | None = None, password: str | None = None) -> User:
        """A new user; without a password they sign in by OIDC alone. Raises InvalidInput or Conflict."""
        kept = user_name(name)
        if role not in ROLES:
            raise InvalidInput(f"{role[:40]!r} is no role; roles are {', '.join(ROLES)}", code="bad_role")
        hashed = await self._hashed(password) if password is not None else None
        now_us = self._clock.now_us()
        row = {"name": kept, "role": role, "csm": csm, "password_hash": hashed, "created_us": now_us}
        try:
            async with self._database.begin() as connection:
                await connection.execute(insert(users).values(row))
        except IntegrityError as error:
            raise Conflict(f"there is a user {kept!r} already", code="user_exists") from error
        return User(name=kept, role=role, csm=csm, has_password=hashed is not None, created_us=now_us)

    async def list(self) -> list[User]:
        """Everybody, by name."""
        async with self._database.read() as connection:
            return [_from_row(row) for row in await connection.execute(select(users).order_by(users.c.name))]

    async def remove(self, name: str) -> None:
        """Takes a user away; their sessions end with it. Raises NotFound."""
        kept = user_name(name)
        async with self._database.begin() as connection:
            removed = await connection.execute(delete(users).where(users.c.name == kept))
            await connection.execute(delete(sessions).where(sessions.c.user_name == kept))
        if not removed.rowcount:
            raise NotFound(f"there is no user {kept!r}; `usage-triggers users list` shows them")

    async def set_password(self, name: str, password: str) -> None:
        """A new password; whoever is signed in under the old one is not any more. Raises NotFound."""
        kept = user_name(name)
        hashed = await self._hashed(password)
        async with self._database.begin() as connection:
            changed = await connection.execute(
                update(users).where(users.c.name == kept).values(password_hash=hashed)
            )
            await connection.execute(delete(sessions).where(sessions.c.user_name == kept))
        if not changed.rowcount:
            raise NotFound(f"there is no user {kept!r}; `usage-triggers users list` shows them")

    async def verified(self, name: str, password: str) -> User | None:
        """The user of this name and password. An unknown name takes as long to refuse as a wrong password."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).one_or_none()
        known = row.password_hash if row is not None else None
        async with self._hashing:
            is_right = await asyncio.to_thread(self._matches, known, password)
        return _from_row(row) if row is not None and is_right else None

    async def _hashed(self, password: str) -> str:
        check_password(password)
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    def _matches(self, known: str | None, password: str) -> bool:
        if self._nobodys_hash is None:
            self._nobodys_hash = self._hasher.hash("nobody's")
        try:
            return self._hasher.verify(known or self._nobodys_hash, password) and known is not None
        except (VerificationError, InvalidHashError):
            return False


async def is_empty(connection: AsyncConnection) -> bool:
    """Whether there is no user at all."""
    return (await connection.execute(select(users.c.name).limit(1))).first() is None


async def user(connection: AsyncConnection, name: str) -> User | None:
    """The user of this name."""
    row = (await connection.execute(select(users).where(users.c.name == name))).one_or_none()
    return _from_row(row) if row is not None else None


def check_password(password: str) -> None:
    """Raises InvalidInput for one that is too short to be safe or too long to be meant."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise InvalidInput(
            f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX:,} characters", code="bad_password"
        )


def _from_row(row: Row[tuple[object, ...]]) -> User:
    return User(
        name=row.name,
        role=row.role,
        csm=row.csm,
        has_password=row.password_hash is not None,
        created_us=row.created_us,
    )
