"""Who is signed in: a random token in a cookie, its hash in a row; without the row the token is nothing."""

import base64
import hashlib

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.schema import sessions

TOKEN_BYTES = 32


def token_of(random_bytes: bytes) -> str:
    """What the cookie holds: 32 random bytes as text."""
    return base64.urlsafe_b64encode(random_bytes).decode().rstrip("=")


async def begin(
    connection: AsyncConnection, token: str, user_name: str, *, now_us: int, lifetime_us: int
) -> None:
    """A session of `user_name`; those of anybody that have run out are cleared away."""
    await connection.execute(delete(sessions).where(sessions.c.expires_us <= now_us))
    await connection.execute(
        insert(sessions).values(
            token_hash=_hash(token),
            user_name=user_name,
            created_us=now_us,
            expires_us=now_us + lifetime_us,
        )
    )


async def user_name_of(connection: AsyncConnection, token: str, now_us: int) -> str | None:
    """Whose session a token is; None where it is nobody's, or not any more."""
    s = sessions.c
    query = select(s.user_name).where(s.token_hash == _hash(token), s.expires_us > now_us)
    return (await connection.execute(query)).scalar_one_or_none()


async def end(connection: AsyncConnection, token: str) -> None:
    """Ends a session; ending one that is none changes nothing."""
    await connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(token)))


def _hash(token: str) -> bytes:
    # So much randomness cannot be guessed: one SHA-256 keeps it safe at rest, as with API keys.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
