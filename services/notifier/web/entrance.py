"""The door of the inbox: who comes in, by password, by OIDC, or on this machine alone without either."""

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from services.notifier.web import sessions, throttle, users
from services.notifier.web.access import LocalAccess, NotSignedIn, Viewer, is_loopback
from services.notifier.web.oidc import OidcSettings, Provider
from services.notifier.web.users import User, Users
from shared.clock import Clock
from shared.config import Config
from shared.database import Database
from shared.errors import SetupError, Unauthorized
from shared.settings import Settings

HOUR_US = 3_600_000_000


class WrongPassword(Unauthorized):
    """Name and password do not belong together; which of the two is wrong is nobody's business."""

    code = "wrong_password"


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How the inbox is reached. `is_local`: this machine alone listens, and may come in unasked."""

    is_local: bool
    public_url: str | None = None
    session_us: int = 12 * HOUR_US
    oidc: OidcSettings | None = None


def door_of(settings: Settings) -> Door:
    """The door as the environment has it. Raises SetupError for half of an OIDC provider."""
    public_host = urlsplit(settings.public_url or "").hostname
    return Door(
        is_local=is_loopback(settings.host) and (public_host is None or is_loopback(public_host)),
        public_url=settings.public_url,
        session_us=round(settings.session_hours * HOUR_US),
        oidc=_oidc_of(settings),
    )


def _oidc_of(settings: Settings) -> OidcSettings | None:
    issuer, client_id = settings.oidc_issuer, settings.oidc_client_id
    secret, public_url = settings.oidc_client_secret, settings.public_url
    if not (issuer or client_id or secret):
        return None
    if not (issuer and client_id and secret and public_url):
        given = {
            "OIDC_ISSUER": issuer,
            "OIDC_CLIENT_ID": client_id,
            "OIDC_CLIENT_SECRET": secret,
            "PUBLIC_URL": public_url,
        }
        missing = [name for name, value in given.items() if not value]
        raise SetupError(f"sign-in by OIDC needs {' and '.join(missing)} as well")
    if urlsplit(issuer).scheme != "https" and not is_loopback(urlsplit(issuer).hostname or ""):
        raise SetupError("OIDC_ISSUER has to be an https:// address: what it says decides who comes in")
    return OidcSettings(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret.get_secret_value(),
        redirect_url=f"{public_url.rstrip('/')}/sign-in/back",
    )


async def check_door(door: Door, database: Database) -> None:
    """Raises SetupError where others than this machine could come in and nobody is asked who they are."""
    if door.is_local or door.oidc is not None:
        return
    async with database.read() as connection:
        if await users.is_empty(connection):
            raise SetupError(
                "the inbox would be open to everybody who can reach it: add somebody who may sign in with "
                "`usage-triggers users add NAME --role admin`, set OIDC_ISSUER, or listen on 127.0.0.1"
            )


class Entrance:
    """Knows who is at a page by the session's cookie, and begins and ends sessions.

    `token_bytes(n)` gives n random bytes; tests pass their own.
    """

    def __init__(
        self,
        door: Door,
        config: Config,
        database: Database,
        clock: Clock,
        *,
        directory: Users | None = None,
        provider: Provider | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.door = door
        self._config = config
        self._database = database
        self._clock = clock
        self._users = directory or Users(database, clock)
        self._token_bytes = token_bytes
        self._local = LocalAccess()
        self.provider = provider or (Provider(door.oidc, clock) if door.oidc is not None else None)

    async def viewer(self, request: Request) -> Viewer:
        """Whose session it is, else the one person of this machine. Raises NotSignedIn or Forbidden."""
        token = request.cookies.get(self.cookie_name)
        async with self._database.read() as connection:
            found = None
            if token is not None:
                name = await sessions.user_name_of(connection, token, self._clock.now_us())
                # Looked up every time: who was removed, or has another role now, is so at once.
                found = await self._user(connection, name) if name is not None else None
            is_asked = found is None and (not self.door.is_local or not await users.is_empty(connection))
        if found is not None:
            return Viewer(name=found.name, role=found.role, csm=found.csm, is_signed_in=True)
        if is_asked or self.provider is not None:
            raise NotSignedIn("sign in to see the inbox")
        return await self._local.viewer(request)

    async def has_passwords(self) -> bool:
        """Whether a form for name and password makes sense."""
        return self.provider is None or any(user.has_password for user in await self._users.list())

    async def enter(self, name: str, password: str, address: str) -> str:
        """The token of a new session. Raises WrongPassword or TooManyAttempts."""
        asked = name.strip().casefold()[:200]
        now_us = self._clock.now_us()
        async with self._database.begin() as connection:
            await throttle.count(connection, asked, address, now_us)
        found = await self._users.verified(asked, password[: users.PASSWORD_CHARS_MAX])
        if found is None:
            raise WrongPassword("name or password is wrong")
        token = self.new_token()
        async with self._database.begin() as connection:
            await throttle.forgive(connection, asked, address)
            await self._begin(connection, token, found.name, now_us)
        return token

    async def admit(self, email: str) -> str:
        """The token of a new session for whom the OIDC provider vouches. Raises Unauthorized."""
        token = self.new_token()
        async with self._database.begin() as connection:
            found = await self._user(connection, email.casefold())
            if found is None:
                raise Unauthorized(
                    f"{email[:200]} may not see this inbox; an admin can let you in with `users add`",
                    code="unknown_user",
                )
            await self._begin(connection, token, found.name, self._clock.now_us())
        return token

    async def leave(self, request: Request) -> None:
        """Ends the session of a request, if it has one."""
        token = request.cookies.get(self.cookie_name)
        if token is not None:
            async with self._database.begin() as connection:
                await sessions.end(connection, token)

    def new_token(self) -> str:
        """Something that nobody can guess."""
        return sessions.token_of(self._token_bytes(sessions.TOKEN_BYTES))

    # Cookies

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the inbox by https."""
        return (self.door.public_url or "").startswith("https://")

    @property
    def cookie_name(self) -> str:
        """Under https with the prefix that keeps other hosts and paths from setting it."""
        return "__Host-session" if self.is_secure else "session"

    def keep(self, answer: Response, token: str) -> None:
        """Gives the browser its session. Lax: links from Slack arrive signed in, foreign forms do not."""
        seconds = self.door.session_us // 1_000_000
        answer.set_cookie(
            self.cookie_name, token, max_age=seconds, httponly=True, samesite="lax", secure=self.is_secure
        )

    def forget(self, answer: Response) -> None:
        """Takes the session's cookie from the browser."""
        answer.delete_cookie(self.cookie_name, httponly=True, samesite="lax", secure=self.is_secure)

    async def _begin(self, connection: AsyncConnection, token: str, name: str, now_us: int) -> None:
        await sessions.begin(connection, token, name, now_us=now_us, lifetime_us=self.door.session_us)

    async def _user(self, connection: AsyncConnection, name: str) -> User | None:
        """A user of the table; with OIDC also a CSM of the configuration, by e-mail address."""
        found = await users.user(connection, name)
        if found is None:
            return users.configured(name, self._config.csms) if self.provider is not None else None
        if found.csm is None:
            return msgspec.structs.replace(found, csm=users.csm_by_email(name, self._config.csms))
        return found
